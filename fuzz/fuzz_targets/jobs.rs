//! The bodies of SubmitJob and of RegisterJobDefinition: the first line is the one, the rest the other.
#![no_main]

use awsb::local::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (job, definition) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    fuzzing::job(job, definition);
});
