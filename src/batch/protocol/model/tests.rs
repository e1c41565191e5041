//! The promise, in many schedules; and that it does not hold with any of the mistakes put back.

use super::regressions::regressions;
use super::{Schedule, generate, shrink, verdict};
use crate::batch::protocol::bugs::{self, Bug};

/// Schedules of the test.
const SCHEDULES: u64 = 100_000;
/// A mistake must show within this many.
const WITHIN: u64 = SCHEDULES;

/// Fails with the smallest schedule that does what `schedule` does.
fn report(schedule: &Schedule, what: &str) -> ! {
    let smallest = shrink(schedule.clone(), |smaller| verdict(smaller).is_err());
    let now = verdict(&smallest).err().unwrap_or_default();
    panic!("schedule {}: {what}\nas a regression: {now}\n{}", schedule.seed, smallest.as_rust());
}

#[test]
fn at_most_one_job_of_a_submission_lives_and_the_answer_names_it() {
    let begin: u64 = std::env::var("AWSB_SCHEDULES_FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (begin..begin + SCHEDULES).filter(|seed| seed % threads == thread) {
                    let schedule = generate(seed);
                    if let Err(what) = verdict(&schedule) {
                        report(&schedule, &what);
                    }
                }
            });
        }
    });
}

#[test]
fn schedules_that_show_a_mistake_show_it_and_nothing_else() {
    for (bug, schedule) in regressions() {
        if let Err(what) = verdict(&schedule) {
            report(&schedule, &what);
        }
        let shown = bugs::with(Some(bug), || verdict(&schedule));
        assert!(shown.is_err(), "{bug:?} does not show in its schedule");
    }
}

fn found_at(bug: Bug) -> Option<(u64, String)> {
    bugs::with(Some(bug), || (0..WITHIN).find_map(|seed| Some((seed, verdict(&generate(seed)).err()?))))
}

#[test]
fn each_mistake_that_is_put_back_breaks_the_promise() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let unseen: Vec<Bug> = std::thread::scope(|scope| {
        let searches = (0..threads).map(|thread| {
            scope.spawn(move || {
                let bugs = Bug::ALL.into_iter().skip(thread).step_by(threads);
                let unseen = bugs.filter(|bug| {
                    let found = found_at(*bug);
                    println!("{bug:?}: {found:?}");
                    found.is_none()
                });
                unseen.collect::<Vec<_>>()
            })
        });
        let searches: Vec<_> = searches.collect();
        searches.into_iter().flat_map(|search| search.join().expect("a search that ends")).collect()
    });
    assert!(unseen.is_empty(), "these do not show within {WITHIN} schedules: {unseen:?}");
}
