//! `bout -d DIR`: the lines of each job or child in a file of its own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::print::{self, Style};
use crate::logs::Event;
use crate::ui::{Failure, Format, Layout, Output, View, print_message};
use awsb_model::{JobId, words};

/// A directory of output files. A file is created with its first line.
#[derive(Debug)]
pub struct OutputDir {
    directory: PathBuf,
    /// There are several jobs, and each has a directory of its own for its children.
    several_jobs: bool,
    style: Style,
    zone: TimeZone,
    files: BTreeMap<String, JobFile>,
}

/// The file of one job or child.
#[derive(Debug)]
struct JobFile {
    path: PathBuf,
    lines: u64,
}

impl OutputDir {
    /// Files are written to this directory.
    pub fn new(directory: PathBuf, several_jobs: bool, style: Style) -> Self {
        Self { directory, several_jobs, style, zone: TimeZone::system(), files: BTreeMap::new() }
    }

    /// Appends lines to the files of their jobs.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&mut self, events: &[Event]) -> Result<(), Failure> {
        let mut texts: BTreeMap<&str, (String, u64)> = BTreeMap::new();
        for event in events {
            let (text, lines) = texts.entry(&event.stream.job_id).or_default();
            if self.style.timestamps {
                print::time(event, &self.zone, text);
            }
            self.style.push_container(event, text);
            text.push_str(&event.message);
            text.push('\n');
            *lines += 1;
        }
        for (id, (text, lines)) in texts {
            let (mut file, written) = self.file(id)?;
            file.write_all(text.as_bytes())
                .map_err(|e| Failure::failed(format!("writing {}: {e}", written.path.display())))?;
            written.lines += lines;
        }
        Ok(())
    }

    /// The file of a job. It is opened for each page: an array may have more children than files
    /// can be open.
    fn file(&mut self, id: &str) -> Result<(File, &mut JobFile), Failure> {
        let path = self.path(id);
        let is_new = !self.files.contains_key(id);
        let written = self.files.entry(id.to_owned()).or_insert(JobFile { path, lines: 0 });
        let parent = written.path.parent().filter(|_| is_new);
        let file = parent.map_or(Ok(()), fs::create_dir_all).and_then(|()| match is_new {
            true => File::create(&written.path),
            false => OpenOptions::new().append(true).open(&written.path),
        });
        match file {
            Ok(file) => Ok((file, written)),
            Err(e) => Err(Failure::failed(format!("writing {}: {e}", written.path.display()))),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        let id = JobId::from_batch(id);
        match id.part() {
            Some(part) if self.several_jobs => {
                self.directory.join(id.whole().as_str()).join(format!("{part}.out"))
            }
            Some(part) => self.directory.join(format!("{part}.out")),
            None => self.directory.join(format!("{id}.out")),
        }
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reports the files: on stderr, or as JSON on stdout.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn report(&self, output: &Output) -> Result<(), Failure> {
        if output.format() == Format::Json {
            return output.show(self);
        }
        let lines = words::many(self.files.values().map(|f| f.lines).sum::<u64>(), "line");
        match self.files.values().collect::<Vec<_>>().as_slice() {
            [] => print_message("bout: the job has no output lines, so nothing was written"),
            [file] => print_message(format!("bout: {lines} in {}", file.path.display())),
            files => {
                let count = words::many(files.len(), "file");
                print_message(format!("bout: {lines} in {count} in {}", self.directory.display()));
            }
        }
        Ok(())
    }
}

impl View for OutputDir {
    fn plain(&self) -> Layout {
        Layout::Lines(self.files.values().map(|f| f.path.display().to_string()).collect())
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let object = |(id, file): (&String, &JobFile)| serde_json::json!({ "jobId": id, "File": file.path.display().to_string(), "Lines": file.lines });
        self.files.iter().map(object).collect()
    }
}
