//! `bkill`: executes the `awsb` beside it, whose `cli::bkill` it is.

mod door;

fn main() -> std::process::ExitCode {
    door::open("bkill")
}
