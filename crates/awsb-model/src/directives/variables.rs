//! Variables of Slurm and LSF that a job reads and does not have: bsub sets them only in the job of
//! a script with `#SBATCH` or `#BSUB` lines.

/// The text before the name of a variable that is read: in a shell, and in Python.
const READS: [&str; 4] = ["$", "${", "environ[\"", "environ['"];
/// The characters after a name in `${NAME…}` with which the script provides a default.
const DEFAULTS: [char; 5] = [':', '-', '=', '+', '?'];

/// The variables with this prefix that a script or a shell command line reads, without duplicates
/// and in order. Variables that it sets or tests, or for which it has a default, are left out.
pub fn read_variables(text: &str, prefix: &str) -> Vec<String> {
    let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let (mut read, mut handled): (Vec<String>, Vec<String>) = Default::default();
    for line in lines() {
        for (at, _) in line.match_indices(prefix) {
            let (before, rest) = line.split_at(at);
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, behind) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
            if name.len() == prefix.len() {
                continue;
            }
            let has_default = before.ends_with("${") && behind.starts_with(DEFAULTS);
            let is_set =
                behind.starts_with('=') && !before.ends_with(is_name) && !before.ends_with(['$', '{']);
            let opening = before.trim_end_matches(['$', '{', '"']).trim_end();
            let is_tested = ["-n", "-z", "-v"].iter().any(|test| opening.ends_with(test));
            if has_default || is_set || is_tested {
                handled.push(name.to_owned());
            } else if READS.iter().any(|read| before.ends_with(read)) && !read.iter().any(|one| one == name) {
                read.push(name.to_owned());
            }
        }
    }
    read.retain(|name| !handled.contains(name));
    read
}

/// The variable that every job has instead of one of Slurm's or LSF's. `has_ids`: the tasks of an
/// array have IDs that differ from the indices. Otherwise a plain command has Batch's variables
/// only.
pub fn instead_of_variable(name: &str, has_ids: bool) -> Option<&'static str> {
    Some(match name {
        "SLURM_ARRAY_TASK_ID" | "LSB_JOBINDEX" if !has_ids => "AWS_BATCH_JOB_ARRAY_INDEX",
        "SLURM_ARRAY_TASK_COUNT" if !has_ids => "AWS_BATCH_JOB_ARRAY_SIZE",
        "SLURM_ARRAY_TASK_ID" | "LSB_JOBINDEX" => "AWSB_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT" => "AWSB_TASK_COUNT",
        "SLURM_ARRAY_TASK_MIN" => "AWSB_TASK_MIN",
        "SLURM_ARRAY_TASK_MAX" | "LSB_JOBINDEX_END" => "AWSB_TASK_MAX",
        "SLURM_ARRAY_TASK_STEP" | "LSB_JOBINDEX_STEP" => "AWSB_TASK_STEP",
        "SLURM_JOB_ID" | "SLURM_JOBID" | "SLURM_ARRAY_JOB_ID" | "LSB_JOBID" => "AWS_BATCH_JOB_ID",
        "SLURM_NNODES" | "SLURM_JOB_NUM_NODES" => "AWS_BATCH_JOB_NUM_NODES",
        "SLURM_NODEID" => "AWS_BATCH_JOB_NODE_INDEX",
        "SLURM_JOB_PARTITION" | "LSB_QUEUE" => "AWS_BATCH_JQ_NAME",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_are_read() {
        for (text, expected) in [
            ("echo $SLURM_ARRAY_TASK_ID", &["SLURM_ARRAY_TASK_ID"][..]),
            ("x ${SLURM_JOB_ID}.$SLURM_NTASKS $SLURM_JOB_ID", &["SLURM_JOB_ID", "SLURM_NTASKS"]),
            ("i = int(os.environ[\"SLURM_PROCID\"])", &["SLURM_PROCID"]),
            ("# echo $SLURM_JOB_ID\necho SLURM_JOB_ID $SLURM_", &[]),
            ("n=${SLURM_CPUS_PER_TASK:-1}; make -j $SLURM_CPUS_PER_TASK", &[]),
            ("SLURM_JOB_ID=1\necho $SLURM_JOB_ID", &[]),
            ("export SLURM_NTASKS=2; echo $SLURM_NTASKS", &[]),
            ("if [ -n \"$SLURM_JOB_ID\" ]; then cd $SLURM_JOB_ID; fi", &[]),
            ("[[ -z ${SLURM_JOB_ID} ]] || echo $SLURM_JOB_ID", &[]),
            ("os.environ.get('SLURM_JOB_ID')", &[]),
            ("echo $MY_SLURM_JOB_ID", &[]),
            ("test $SLURM_NODEID = 0", &["SLURM_NODEID"]),
        ] {
            assert_eq!(read_variables(text, "SLURM_"), expected, "{text}");
        }
        assert_eq!(read_variables("echo $LSB_JOBINDEX", "LSB_"), ["LSB_JOBINDEX"]);
    }
}
