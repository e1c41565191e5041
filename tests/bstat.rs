//! What a user sees of jobs: the listing, its columns and options, one job in detail.

mod support;

use support::{Sandbox, Terminal};

#[test]
fn help_fits_a_terminal_of_any_width() {
    let sandbox = Sandbox::new();
    for columns in [20, 80, 160] {
        let seen = Terminal::new(columns).run(&sandbox, "bstat", ["--help"]).ok();
        assert!(seen.screen().contains("--status"), "{}", seen.screen());
    }
    let narrow = Terminal::new(40).run(&sandbox, "bstat", ["-h"]).ok();
    assert!(narrow.screen().lines().all(|line| line.chars().count() <= 40), "{}", narrow.screen());
    assert!(!narrow.written.contains('\u{1b}'), "{}", narrow.written);
    let colourful = Terminal::new(40).colour().run(&sandbox, "bstat", ["-h"]).ok();
    assert!(colourful.written.contains("\u{1b}["), "{}", colourful.written);
}
