//! The merge of log streams by time.

use std::sync::Arc;

use awsb::logs::{Event, LogStreamRef, MergeQueue, StreamWriter};
use divan::Bencher;
use divan::counter::ItemsCount;

const LINES: usize = 100_000;

/// Merges lines from this many streams, which come in turns.
#[divan::bench(args = [2, 100, 1_000])]
fn merge(bencher: Bencher<'_, '_>, streams: usize) {
    bencher.counter(ItemsCount::new(LINES)).with_inputs(|| queue(streams)).bench_values(|mut queue| {
        let mut count = 0;
        loop {
            let taken = queue.take(5_000).len();
            if taken == 0 {
                break count;
            }
            count += taken;
        }
    });
}

fn queue(streams: usize) -> MergeQueue {
    let mut queue = MergeQueue::default();
    for n in 0..streams {
        let stream = Arc::new(LogStreamRef {
            writer: StreamWriter::Job,
            job_id: format!("8f2c0d3e-1111-4222-8333-444455556666:{n}"),
            task: None,
            container: None,
            group: "/aws/batch/job".to_owned(),
            name: format!("job/default/{n}"),
        });
        let line = |i: usize| Event {
            stream: Arc::clone(&stream),
            timestamp: i64::try_from(i * streams + n).ok(),
            message: "aligned 1000 reads".to_owned(),
        };
        let index = queue.add_stream();
        queue.push(index, (0..LINES / streams).map(line).collect());
        queue.end(index);
    }
    queue
}
