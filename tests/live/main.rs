//! The same stories on a real cluster, for whoever names one in `AWSB_LIVE_CLUSTER`.

mod jobs;

awsb_testkit::main!();
