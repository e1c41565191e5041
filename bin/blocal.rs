//! `blocal`: executes the `awsb` beside it, whose `cli::blocal` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("blocal")
}
