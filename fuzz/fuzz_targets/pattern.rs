//! Filter patterns of FilterLogEvents: the first line is the pattern, the rest the message.
#![no_main]

use awsb::local::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let (pattern, message) = data.split_once('\n').unwrap_or((data, ""));
    fuzzing::pattern(pattern, message);
});
