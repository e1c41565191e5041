//! A request as it comes from the network: which service it is signed for, and whether it is.
#![no_main]

use awsb::local::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The head's end is the first empty line; the body is what follows it.
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &data[data.len()..]),
    };
    fuzzing::request(head, body);
});
