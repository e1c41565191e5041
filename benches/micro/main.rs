//! Micro-benchmarks of the parts that work through every line, row or byte:
//!
//! ```sh
//! cargo bench --bench micro            # all; a word chooses those that contain it
//! ```
//!
//! They need neither a network nor another tool. They find what is too small for the scripts beside
//! them.

mod archive;
mod cluster;
mod log_merge;
mod table;

fn main() {
    divan::main();
}
