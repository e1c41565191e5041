//! Lists and fetches the files that jobs have stored at their `AWSB_OUTPUT_URL`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_sdk_s3::types::{EncodingType, Object};
use futures_util::StreamExt;
use tempfile::NamedTempFile;

use super::inputs::one_line;
use super::listing::decode_key;
use crate::aws::{Call, Pages, Session, explain};
use crate::ui::{Failure, ProgressBar};
use awsb_model::words::many;
use awsb_model::{JobId, object_key};

/// At most this many files are fetched at the same time.
const CONCURRENCY: usize = 8;
/// A file is fetched at most this many times if its transfer breaks off.
const MAX_ATTEMPTS: u32 = 3;

/// A file that a job has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Its path below the job's folder, which has a folder for each child of an array and each node
    /// of an MNP job.
    pub path: String,
    /// Its key in the bucket.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was stored, in milliseconds since the epoch.
    pub modified: i64,
}

/// The folder of the job's files below that of all jobs, with a slash at its end. The launcher
/// derives the same from `AWS_BATCH_JOB_ID`.
fn folder(id: &JobId) -> String {
    match id.as_str().split_once('#') {
        Some((job, node)) => format!("{job}/node-{node}/"),
        None => format!("{}/", id.as_str().replace(':', "/")),
    }
}

/// The files of a job, for an array with those of its children, sorted by path.
///
/// # Errors
/// When the bucket is missing, may not be listed or cannot be reached.
pub async fn list_outputs(session: &Session, id: &JobId) -> Result<Vec<OutputFile>, Failure> {
    let (bucket, prefix) = (&session.cluster.bucket, &session.cluster.prefix);
    let prefix = object_key(prefix, &format!("outputs/{}", folder(id)));
    let list = session.s3.list_objects_v2().bucket(bucket).prefix(&prefix).encoding_type(EncodingType::Url);
    let mut pages = Pages::new(|token| list.clone().set_continuation_token(token).send());
    let mut files = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| {
            e.explain(session, Call::new(&format!("listing s3://{bucket}/{prefix}")).bucket(bucket))
        })?;
        let (found, encoding) = (page.contents.unwrap_or_default(), page.encoding_type);
        files.extend(found.into_iter().filter_map(|object| file(object, &prefix, encoding.as_ref())));
    }
    Ok(files)
}

fn file(object: Object, prefix: &str, encoding: Option<&EncodingType>) -> Option<OutputFile> {
    let key = object.key?;
    let key = decode_key(&key, encoding);
    let path = key.strip_prefix(prefix).filter(|path| !path.is_empty() && !path.ends_with('/'))?.to_owned();
    let size = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let modified = object.last_modified.and_then(|at| at.to_millis().ok()).unwrap_or(0);
    Some(OutputFile { path, key, size, modified })
}

/// Fetches files into a directory, which is created if necessary. Each file gets its name when it
/// is complete, and replaces an earlier one. Returns the paths in the order of `files`.
///
/// # Errors
/// For each file that cannot be fetched or written, that has another length than in the list, or
/// whose path would lead out of the directory.
pub async fn fetch_outputs(
    session: &Session,
    files: &[OutputFile],
    directory: &Path,
) -> Vec<Result<PathBuf, Failure>> {
    let mut progress =
        ProgressBar::new("fetching", files.iter().fold(0, |all, f| f.size.saturating_add(all)));
    let progress = std::cell::RefCell::new(&mut progress);
    let on_read = |n: u64| progress.borrow_mut().advance(n);
    let fetched = files.iter().map(|file| fetch(session, file, directory, &on_read));
    futures_util::stream::iter(fetched).buffered(CONCURRENCY).collect().await
}

async fn fetch(
    session: &Session,
    file: &OutputFile,
    directory: &Path,
    on_read: &impl Fn(u64),
) -> Result<PathBuf, Failure> {
    let target = local_path(directory, &file.path)?;
    let writing = |e: io::Error| Failure::failed(format!("writing {}: {}", target.display(), one_line(&e)));
    make_folders(directory, &target)?;
    let mut attempts_left = MAX_ATTEMPTS;
    loop {
        attempts_left -= 1;
        let doing = || format!("fetching s3://{}/{}", session.cluster.bucket, file.key);
        let get = session.s3.get_object().bucket(&session.cluster.bucket).key(&file.key);
        let got = get
            .send()
            .await
            .map_err(|e| explain(session, Call::new(&doing()).bucket(&session.cluster.bucket), &e))?;
        if let Some(length) = got.content_length.and_then(|length| u64::try_from(length).ok())
            && length != file.size
        {
            return Err(other_length(&doing(), file, &many(length, "byte")));
        }
        let (mut body, mut read) = (got.body, 0);
        let folder = target.parent().unwrap_or(directory);
        let mut whole = new_file(folder).map_err(writing)?;
        let broken = loop {
            match body.next().await {
                // Without `Content-Length`, this looks like the end of the file.
                None if read < file.size => {
                    break Some(format!("{read} of {} have come", many(file.size, "byte")));
                }
                None => break None,
                Some(Ok(bytes)) => {
                    read += bytes.len() as u64;
                    // It might go on until the disk is full.
                    if read > file.size {
                        let more = format!("more than {}", many(file.size, "byte"));
                        return Err(other_length(&doing(), file, &more));
                    }
                    whole.write_all(&bytes).map_err(writing)?;
                    on_read(bytes.len() as u64);
                }
                Some(Err(e)) => break Some(e.to_string()),
            }
        };
        match broken {
            None => {
                whole.persist(&target).map_err(|e| writing(e.error))?;
                return Ok(target);
            }
            Some(_) if attempts_left > 0 => {}
            Some(why) => {
                return Err(
                    Failure::failed(format!("{}: it broke off: {why}", doing())).hint("run this again")
                );
            }
        }
    }
}

/// The error about a file that has another length than in the list.
fn other_length(doing: &str, file: &OutputFile, found: &str) -> Failure {
    let listed = many(file.size, "byte");
    Failure::failed(format!("{doing}: it has {found}, and {listed} in the list of the job's files"))
        .hint("the file may have been stored anew since it was listed: run this again")
}

/// A file with a temporary name and the permissions of any new file.
fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".awsb-").permissions(permissions).tempfile_in(folder)
}

/// The local file for a path. The path is not trusted, because everybody who can write to the
/// bucket chooses paths.
fn local_path(directory: &Path, path: &str) -> Result<PathBuf, Failure> {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    if path.split('/').all(is_name) {
        return Ok(directory.join(path));
    }
    Err(Failure::failed(format!(
        "refusing to fetch the file `{path}`: its name leads out of {}",
        directory.display()
    )))
}

/// Creates the folders from the directory to the file. A link among them is refused, because it
/// would lead elsewhere.
fn make_folders(directory: &Path, file: &Path) -> Result<(), Failure> {
    let making = |folder: &Path, e: &io::Error| {
        Failure::failed(format!("making the directory {}: {}", folder.display(), one_line(e)))
    };
    fs::create_dir_all(directory).map_err(|e| making(directory, &e))?;
    let Some(below) = file.parent().and_then(|f| f.strip_prefix(directory).ok()) else { return Ok(()) };
    let mut folder = directory.to_owned();
    for name in below.components() {
        folder.push(name);
        match fs::create_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&folder).map_err(|e| making(&folder, &e))?;
                if !found.is_dir() {
                    let (folder, file) = (folder.display(), file.display());
                    return Err(Failure::failed(format!("writing {file}: {folder} is not a directory")));
                }
            }
            Err(e) => return Err(making(&folder, &e)),
            Ok(()) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_a_folder() {
        for (id, expected) in [("8f2c", "8f2c/"), ("8f2c:3", "8f2c/3/"), ("8f2c#1", "8f2c/node-1/")] {
            assert_eq!(folder(&JobId::from_batch(id)), expected);
        }
    }

    #[test]
    fn no_path_leads_out() {
        let directory = Path::new("/d");
        assert_eq!(local_path(directory, "3/a b.csv").unwrap(), Path::new("/d/3/a b.csv"));
        assert_eq!(local_path(directory, "..a").unwrap(), Path::new("/d/..a"));
        for path in ["..", "../x", "a/../../x", "/etc/passwd", "a//b", "./x", "a/", "a\0b"] {
            assert!(local_path(directory, path).is_err(), "{path}");
        }
    }

    #[test]
    fn links_are_not_followed_out_of_the_directory() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).unwrap();
        let target = local_path(inside.path(), "link/sub/x").unwrap();
        assert!(
            make_folders(inside.path(), &target).unwrap_err().message().ends_with("link is not a directory")
        );
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        let target = local_path(inside.path(), "a/b/x").unwrap();
        make_folders(inside.path(), &target).unwrap();
        make_folders(inside.path(), &target).unwrap();
        assert!(inside.path().join("a/b").is_dir());
    }
}
