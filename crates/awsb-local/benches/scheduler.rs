//! The scheduler with 100,000 jobs that wait: `cargo bench -p awsb-local`.

use awsb_local::bench::Cluster;

fn main() {
    divan::main();
}

const ARRAYS: u32 = 10;
const CHILDREN: u32 = 10_000;

/// Ten arrays of 10,000 children are submitted.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn submit(bencher: divan::Bencher<'_, '_>) {
    bencher.with_inputs(|| Cluster::new(8)).bench_values(|mut cluster| {
        cluster.submit(ARRAYS, CHILDREN);
        cluster
    });
}

/// A job ends while 100,000 wait, and the next one starts.
#[divan::bench(args = [1, 10], sample_count = 100, sample_size = 100)]
fn end_and_start(bencher: divan::Bencher<'_, '_>, shares: u32) {
    let mut cluster = Cluster::with_shares(8, shares);
    cluster.submit(ARRAYS, CHILDREN);
    cluster.schedule();
    bencher.bench_local(|| {
        cluster.end_one();
        divan::black_box(cluster.schedule())
    });
}

/// A pass over 100,000 jobs that wait, while the machine is full.
#[divan::bench]
fn nothing_fits(bencher: divan::Bencher<'_, '_>) {
    let mut cluster = Cluster::new(8);
    cluster.submit(ARRAYS, CHILDREN);
    cluster.schedule();
    bencher.bench_local(|| divan::black_box(cluster.schedule()));
}
