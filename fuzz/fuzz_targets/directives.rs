//! A script's head: `#AWSB`, `#SBATCH` and `#BSUB` lines.
#![no_main]

use awsb::job::Directives;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    let found = Directives::read(script);
    let lines = script.split(|byte| *byte == b'\n').count();
    let said = found.options.iter().map(|said| said.line);
    let told = found.warnings.iter().chain(&found.errors).map(|remark| remark.line);
    assert!(said.chain(told).all(|line| (1..=lines).contains(&line)), "a line that the script does not have");
});
