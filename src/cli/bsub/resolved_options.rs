//! The options of a job, resolved from all places where they can be given.

use std::ops::Deref;

use super::options::Options;
use crate::ui::Failure;
use awsb_model::{
    ArrayLimit, ContainerChanges, EnvArg, Image, Invalid, Timeout, WallTime, WorkDir, check_consumption,
};

/// The options of a job. They are resolved once and cannot be changed afterwards.
#[derive(Debug, Clone)]
pub struct ResolvedOptions(Options);

impl Deref for ResolvedOptions {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.0
    }
}

impl ResolvedOptions {
    /// Resolves the options: those of the command line come first, then those of the script's
    /// directives, then the defaults of the settings file.
    ///
    /// # Errors
    /// When an option has no effect, or cannot be used, with those of the other places.
    pub fn resolve(command_line: &Options, directives: Options, defaults: Options) -> Result<Self, Failure> {
        let options = command_line.clone().over(directives).over(defaults);
        if !command_line.env_exclude.is_empty() && !options.env.contains(&EnvArg::All) {
            let patterns = command_line.env_exclude.join(",");
            return Err(Failure::usage(format!(
                "--env-exclude {patterns} needs `-e all`: it leaves variables out of it"
            )));
        }
        check_wait(command_line, &options)?;
        check_consume(command_line)?;
        if options.commands.is_some() && command_line.commands.is_none() {
            return Err(Failure::usage(
                "--commands cannot be used with a script or a command: its file has the commands",
            ));
        }
        if command_line.skip_comments && options.each.is_none() && options.commands.is_none() {
            return Err(Failure::usage(
                "--skip-comments needs --each or --commands: it leaves out lines of their file",
            ));
        }
        if command_line.array_limit.is_some() && !options.has_array() {
            return Err(Failure::usage(
                "--array-limit needs --array, --array-size, --each or --commands: it limits how many tasks run at \
                 the same time",
            ));
        }
        Ok(Self(options))
    }

    /// The options of `--rerun`, which come from the command line alone: the rest of the job stays
    /// as it was.
    ///
    /// # Errors
    /// When an option asks for a change that `--rerun` cannot make.
    pub fn for_rerun(command_line: &Options) -> Result<Self, Failure> {
        if let Some(option) = fixed_by_rerun(command_line) {
            return Err(Failure::usage(format!("{option} cannot be changed by --rerun"))
                .hint("to change it, submit the script again"));
        }
        check_wait(command_line, command_line)?;
        check_consume(command_line)?;
        Ok(Self(command_line.clone()))
    }

    /// Whether the job ends when a signal interrupts the command that waits for it.
    pub fn ends_with_waiter(&self) -> bool {
        ends_with_waiter(self)
    }

    /// The number of tasks of an array that may run at the same time: that of `--array-limit`, or
    /// else that of `--array`.
    pub fn running_limit(&self) -> Option<u32> {
        let limit = self.array_limit.map(ArrayLimit::get).or_else(|| self.limit_of_ids());
        limit.filter(|_| self.has_array())
    }

    /// How long an attempt may run.
    ///
    /// # Errors
    /// When it is less than Batch accepts.
    pub fn limit(&self) -> Result<Option<Timeout>, Invalid> {
        match self.time.and_then(WallTime::seconds) {
            Some(seconds) => Timeout::of_seconds(seconds).map(Some),
            None => Ok(self.timeout),
        }
    }

    /// The changes to the container that SubmitJob cannot make, for a job in this image.
    pub fn changes(&self, image: Option<Image>) -> ContainerChanges {
        ContainerChanges {
            image,
            job_role: self.job_role.clone(),
            execution_role: self.execution_role.clone(),
            user: self.user.clone(),
            ulimits: self.ulimit.clone(),
            mounts: self.mount.clone(),
            efs: self.efs.clone(),
            secrets: self.secret.clone(),
            shm_size: self.shm_size,
            ephemeral_storage: self.ephemeral_storage,
            enable_exec: self.enable_exec,
            tmpfs: self.tmpfs.clone(),
            devices: self.device.clone(),
            privileged: self.privileged,
            repository_credentials: self.repository_credentials.clone(),
            instance_type: self.instance_type.clone(),
        }
    }

    /// The working directory of the job.
    pub fn place(&self) -> WorkDir {
        match (&self.working_dir, &self.parent_working_dir) {
            (Some(place), _) => WorkDir::In(place.into()),
            (None, Some(parent)) => WorkDir::Below(parent.into()),
            (None, None) => WorkDir::Own,
        }
    }
}

fn ends_with_waiter(options: &Options) -> bool {
    options.kill_on_interrupt && (options.wait || options.interactive)
}

/// One of two quantities of a resource is not the one that was meant.
fn check_consume(command_line: &Options) -> Result<(), Failure> {
    check_consumption(&command_line.consume).map_err(|e| Failure::usage(format!("--consume: {e}")))
}

/// A command that does not wait cannot be interrupted while it waits. As a default of the settings
/// file, the option counts only for commands that wait.
fn check_wait(command_line: &Options, options: &Options) -> Result<(), Failure> {
    if command_line.kill_on_interrupt && !ends_with_waiter(options) {
        return Err(Failure::usage("--kill-on-interrupt needs --wait (-K) or --interactive (-I)"));
    }
    Ok(())
}

/// The first option of something that `--rerun` cannot change: the staged files, and the container
/// of the job definition except for its image.
fn fixed_by_rerun(options: &Options) -> Option<&'static str> {
    let given: [(&str, bool); 30] = [
        ("--input", !options.input.is_empty()),
        ("--stdin", options.stdin.is_some()),
        ("--output-file", !options.output_file.is_empty()),
        ("--working-dir", options.working_dir.is_some()),
        ("--parent-working-dir", options.parent_working_dir.is_some()),
        ("--array-size", options.array_size.is_some()),
        ("--array", options.array.is_some()),
        ("--each", options.each.is_some()),
        ("--commands", options.commands.is_some()),
        ("--array-limit", options.array_limit.is_some()),
        ("--skip-comments", options.skip_comments),
        ("--nodes", options.nodes.is_some()),
        ("--node-group", !options.node_group.is_empty()),
        ("--depends-on", !options.depends_on.is_empty()),
        ("--job-role", options.job_role.is_some()),
        ("--execution-role", options.execution_role.is_some()),
        ("--user", options.user.is_some()),
        ("--ulimit", !options.ulimit.is_empty()),
        ("--mount", !options.mount.is_empty()),
        ("--efs", !options.efs.is_empty()),
        ("--shm-size", options.shm_size.is_some()),
        ("--ephemeral-storage", options.ephemeral_storage.is_some()),
        ("--enable-exec", options.enable_exec),
        ("--secret", !options.secret.is_empty()),
        ("--tmpfs", !options.tmpfs.is_empty()),
        ("--device", !options.device.is_empty()),
        ("--privileged", options.privileged),
        ("--repository-credentials", options.repository_credentials.is_some()),
        ("--instance-type", options.instance_type.is_some()),
        ("--container", options.container.is_some()),
    ];
    given.into_iter().find_map(|(option, is_given)| is_given.then_some(option))
}

#[cfg(test)]
mod tests {
    use super::super::option_sources::{OptionError, parse};
    use super::*;

    fn options(line: &str) -> Result<Options, OptionError> {
        parse(&line.split_whitespace().map(Into::into).collect::<Vec<_>>())
    }

    fn resolve(command_line: &str, directives: &str, defaults: &str) -> Result<ResolvedOptions, String> {
        let [command_line, directives, defaults] =
            [command_line, directives, defaults].map(|line| options(line).map_err(|e| e.to_string()));
        ResolvedOptions::resolve(&command_line?, directives?, defaults?)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_command_line_comes_first_then_directives_then_defaults() -> Result<(), String> {
        let resolved = resolve("-p 4", "-p 2 -m 1G --tag a=1", "-m 2G -q fast --tag b=2")?;
        let text = |value: Option<String>| value.unwrap_or_default();
        assert_eq!(text(resolved.vcpus.map(|v| v.to_string())), "4");
        assert_eq!(text(resolved.memory.map(|m| m.to_string())), "1024");
        assert_eq!(text(resolved.queue.clone()), "fast");
        let tags: Vec<&str> = resolved.tag.iter().map(|tag| tag.key.as_str()).collect();
        assert_eq!(tags, ["b", "a"]);
        Ok(())
    }

    #[test]
    fn a_limit_belongs_to_its_array() -> Result<(), String> {
        let limit = |command_line: &str, directives: &str| {
            resolve(command_line, directives, "").map(|options| options.running_limit())
        };
        assert_eq!(limit("--array-limit 3", "--array 1-9%5")?, Some(3));
        assert_eq!(limit("--array 1-9%3", "--array-size 9 --array-limit 5")?, Some(3));
        assert_eq!(limit("--array 1-9%3", "--array-limit 5")?, Some(3));
        assert_eq!(limit("--array 1-9", "--array-limit 5")?, Some(5));
        assert_eq!(limit("--array 1-9", "--array-size 9 --array-limit 5")?, None);
        assert_eq!(limit("--each list --array-limit 2", "")?, Some(2));
        assert_eq!(limit("--array-size 9", "--array 1-9%5")?, None);
        assert_eq!(limit("--array-size 9", "--array-limit 5")?, Some(5));
        assert_eq!(limit("", "--array-limit 5")?, None);
        // The settings file is below the script, whose limit is in its array.
        let resolved = resolve("", "--array 1-9%3", "--array-limit 5")?;
        assert_eq!(resolved.running_limit(), Some(3));
        // On one command line, the option counts, in whichever line of a script it is.
        assert_eq!(limit("--array 1-9%3 --array-limit 5", "")?, Some(5));
        let (ids, option) = (options("--array 1-9%3"), options("--array-limit 5"));
        let (ids, option) = (ids.map_err(|e| e.to_string())?, option.map_err(|e| e.to_string())?);
        for together in [ids.clone().and(option.clone()), option.and(ids)] {
            assert_eq!(together.array_limit.map(ArrayLimit::get), Some(5));
        }
        Ok(())
    }

    #[test]
    fn options_that_need_others_are_refused_on_the_command_line_alone() {
        for option in ["--env-exclude A", "--kill-on-interrupt", "--skip-comments", "--array-limit 2"] {
            let message = resolve(option, "", "").map(|_| ()).unwrap_err();
            assert!(message.contains("needs"), "{option}: {message}");
            assert!(resolve("", "", option).is_ok(), "{option} as a default");
        }
        assert!(resolve("--kill-on-interrupt", "-K", "").is_ok());
        assert!(resolve("", "--commands file", "").is_err());
    }

    #[test]
    fn a_rerun_changes_neither_files_nor_the_container() {
        let rerun = |line: &str| ResolvedOptions::for_rerun(&options(line).expect("options"));
        assert!(rerun("-p 4 --image busybox -K --kill-on-interrupt").is_ok());
        for refused in ["--ulimit nofile=1", "--array 1-3", "--kill-on-interrupt"] {
            assert!(rerun(refused).is_err(), "{refused}");
        }
    }
}
