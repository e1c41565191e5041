//! The IDs of an array's tasks, in Slurm's syntax.
#![no_main]

use awsb::job::TaskIds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(tasks) = text.parse::<TaskIds>() else { return };
    assert_eq!(tasks.to_string().parse::<TaskIds>().as_ref(), Ok(&tasks), "{text:?}");
    for position in [0, tasks.count() / 2, tasks.count() - 1] {
        let id = tasks.get(position);
        assert_eq!(id.and_then(|id| tasks.position(id)), Some(position), "{text:?}");
    }
    assert_eq!((tasks.get(0), tasks.get(tasks.count())), (Some(tasks.min()), None), "{text:?}");
});
