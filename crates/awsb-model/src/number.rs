//! Job numbers, for scripts that expect a number.
//!
//! Slurm and LSF give jobs whole numbers, and scripts calculate with them, or make them part of a
//! file's name. Batch's IDs are UUIDs. The number of a job consists of the first 40 bits of its
//! UUID, so that a job computes its own number in the shell (`src/stage/compat/number.sh`), and a
//! number leads to its job.

use std::fmt;

use super::JobId;

/// Bits of the UUID that are in a number.
const BITS: u32 = 40;
/// The value above these bits: this for a job, and `FIRST_CHILD` + i for child i of an array.
const JOB: u64 = 1;
const FIRST_CHILD: u64 = 2;
/// Children of an array (User Guide, `Service quotas`: array size).
const CHILDREN: u64 = 10_000;

/// The number of a job, or of a child of an array. With p as the first 40 bits of the UUID, a job
/// has p + 2^40, and child i has p + (i + 2) · 2^40. A number therefore has at least 13 digits, and
/// is never taken for the beginning of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobNumber(u64);

impl JobNumber {
    /// The number of a job. A node of an MNP job has the number of its job. An ID that is not a
    /// UUID has no number.
    pub fn of(id: &JobId) -> Option<Self> {
        let whole = id.whole();
        let text = whole.as_str();
        let is_usual = whole.is_full() && !text.bytes().any(|b| b.is_ascii_uppercase());
        let digits: String = text.chars().filter(|c| *c != '-').take(BITS as usize / 4).collect();
        let bits = u64::from_str_radix(&digits, 16).ok().filter(|_| is_usual)?;
        let part = match id.array_index() {
            Some(index) => u64::from(index) + FIRST_CHILD,
            None => JOB,
        };
        (part < FIRST_CHILD + CHILDREN).then_some(Self((part << BITS) | bits))
    }

    /// Reads a number. `None` for a text that cannot be the number of a job.
    pub fn read(text: &str) -> Option<Self> {
        let is_decimal = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number: u64 = text.parse().ok().filter(|_| is_decimal)?;
        (JOB..FIRST_CHILD + CHILDREN).contains(&(number >> BITS)).then_some(Self(number))
    }

    /// The beginning of the job's UUID: ten hexadecimal digits, and the dash among them.
    pub fn beginning(self) -> String {
        let digits = format!("{:010x}", self.0 & ((1 << BITS) - 1));
        let (first, second) = digits.split_at(8);
        format!("{first}-{second}")
    }

    /// The index of the child; `None` for the number of a whole job.
    pub fn index(self) -> Option<u32> {
        (self.0 >> BITS).checked_sub(FIRST_CHILD).and_then(|index| u32::try_from(index).ok())
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for JobNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(id: &str) -> Option<u64> {
        JobNumber::of(&JobId::from_batch(id)).map(JobNumber::get)
    }

    #[test]
    fn jobs_children_and_nodes() {
        let job = number("8f2c0d3e-1111-4222-8333-444455556666");
        assert_eq!(job, Some(0x8f_2c0d_3e11 + (1 << 40)));
        assert_eq!(number("8f2c0d3e-1111-4222-8333-444455556666#2"), job);
        assert_eq!(number("8f2c0d3e-1111-4222-8333-444455556666:0"), Some(0x8f_2c0d_3e11 + (2 << 40)));
        assert_eq!(
            number("8f2c0d3e-1111-4222-8333-444455556666:9999"),
            Some(0x8f_2c0d_3e11 + (10_001 << 40))
        );
        for other in ["8f2c0d3e", "8F2C0D3E-1111-4222-8333-444455556666", "a-job", ""] {
            assert_eq!(number(other), None, "{other}");
        }
        // The smallest and the largest number have no leading zero and at least 13 digits.
        assert_eq!(number("00000000-0000-4000-8000-000000000000"), Some(1_099_511_627_776));
        for text in [
            "1099511627775",
            "01099511627776",
            "10997314755788800000",
            "8f2c0d3e11",
            "",
            "1099511627776:1",
            "+1099511627776",
        ] {
            assert_eq!(JobNumber::read(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_number_leads_back_to_its_job(
            id in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
            index in proptest::option::of(0..10_000_u32),
        ) {
            let whole = JobId::from_batch(&id);
            let id = index.map_or(whole.clone(), |index| whole.child(index));
            let number = JobNumber::of(&id).expect("a UUID has one");
            let text = number.to_string();
            proptest::prop_assert!(text.len() >= 13 && !text.starts_with('0'));
            let read = JobNumber::read(&text).expect("a number");
            proptest::prop_assert_eq!(read, number);
            proptest::prop_assert_eq!(read.index(), index);
            proptest::prop_assert!(whole.as_str().starts_with(&read.beginning()));
        }
    }
}
