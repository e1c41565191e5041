//! `bout --files`: the result files of a job.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::aws::Session;
use crate::batch;
use crate::stage::{OutputFile, fetch_outputs, list_outputs};
use crate::ui::{ErrorKind, Exit, Failure, Format, Layout, Output, View, local_rfc3339, print_message};
use awsb_model::JobId;

/// Lists the files of jobs, or fetches them into a directory; those of several jobs into one for
/// each.
pub async fn run(
    session: &Session,
    output: &Output,
    ids: &[JobId],
    directory: Option<&Path>,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let mut listing = Vec::new();
    for id in ids {
        let files = match files_of(session, id).await {
            // The files of the other jobs are shown all the same.
            Err(failure) if failure.kind() == ErrorKind::NotFound => {
                failure.report("bout");
                exit = Exit::Failed;
                continue;
            }
            files => files?,
        };
        let Some(directory) = directory else {
            listing.extend(files.into_iter().map(|file| (file, None)));
            continue;
        };
        let directory = match ids {
            [_] => directory.to_owned(),
            _ => directory.join(id.as_str()),
        };
        let fetched = fetch_outputs(session, &files, &directory).await;
        for (file, fetched) in files.into_iter().zip(fetched) {
            match fetched {
                Ok(path) => listing.push((file, Some(path))),
                Err(failure) => {
                    failure.report("bout");
                    exit = Exit::Failed;
                }
            }
        }
    }
    // After failures alone, an empty table says nothing.
    if exit == Exit::Done || !listing.is_empty() || output.format() == Format::Json {
        output.show(&Listing(listing))?;
    }
    Ok(exit)
}

/// The files of one job.
async fn files_of(session: &Session, id: &JobId) -> Result<Vec<OutputFile>, Failure> {
    let files = list_outputs(session, id).await?;
    if files.is_empty() {
        // Batch removes a job after a week, but its files stay. So Batch is asked only when there
        // are none.
        let job = batch::describe_one(session, id).await?;
        match job.status.has_ended() {
            true => print_message(format!("bout: the job {id} has left no files")),
            false => print_message(format!("bout: the job {id} is {} and has left no files yet", job.status)),
        }
    }
    Ok(files)
}

/// Files, and the paths to which they have been fetched.
struct Listing(Vec<(OutputFile, Option<PathBuf>)>);

impl View for Listing {
    fn plain(&self) -> Layout {
        let rows = self.0.iter().map(|(file, fetched)| {
            let path = fetched.as_ref().map_or_else(|| file.path.clone(), |path| path.display().to_string());
            vec![file.size.to_string(), local_rfc3339(file.modified), path]
        });
        Layout::TableOfNames { columns: vec!["size", "lastModified", "path"], rows: rows.collect() }
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let object = |(file, fetched): &(OutputFile, Option<PathBuf>)| {
            let modified = Timestamp::from_millisecond(file.modified).map(|at| at.to_string()).ok();
            let mut object = serde_json::json!({
                "Path": file.path, "Key": file.key, "Size": file.size, "LastModified": modified,
            });
            if let (Some(object), Some(path)) = (object.as_object_mut(), fetched) {
                object.insert("File".to_owned(), path.display().to_string().into());
            }
            object
        };
        self.0.iter().map(object).collect()
    }
}
