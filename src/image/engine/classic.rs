//! The output of the classic builder, which is text. Pure.

use std::time::Duration;

use super::build_events::{BuildEvent, StepOutcome, reason};

/// The state of the parser: the current step.
#[derive(Debug, Default)]
pub struct Text {
    step: Option<(String, Duration)>,
    cached: bool,
    /// Whether the step is a FROM, whose image somebody else has built.
    is_base: bool,
    /// The images that the build has created, the newest last, by the short IDs in the output.
    made: Vec<String>,
}

impl Text {
    /// The events in a piece of text that came at this time of the build.
    pub fn read(&mut self, text: &str, now: Duration) -> Vec<BuildEvent> {
        // The output of a step may look like a heading, but only the builder's own lines come
        // alone.
        if let Some((step, name)) = heading(text) {
            let mut events = self.end(now);
            self.step = Some((step.clone(), now));
            self.is_base = name.split(' ').nth(1).is_some_and(|word| word.eq_ignore_ascii_case("FROM"));
            events.push(BuildEvent::Started { step, name });
            return events;
        }
        if let Some(rest) = text.strip_prefix(" ---> ") {
            match rest.trim_end() {
                "Using cache" => self.cached = true,
                // An image from the cache may belong to the user.
                rest if is_id(rest) && !self.is_base && !self.cached => self.made.push(rest.to_owned()),
                _ => {}
            }
            return Vec::new();
        }
        let is_own =
            ["Successfully built ", "Successfully tagged ", "Removing intermediate container ", "[Warning] "];
        if text.trim().is_empty() || is_own.iter().any(|own| text.starts_with(own)) {
            return Vec::new();
        }
        match &self.step {
            Some((step, begun)) => {
                let after = now.saturating_sub(*begun);
                vec![BuildEvent::Output { step: step.clone(), after, text: plain(text).to_owned() }]
            }
            None => Vec::new(),
        }
    }

    /// Reports the progress of a layer of the base image.
    pub fn pulls(&self, layer: String, current: Option<i64>, total: Option<i64>) -> Vec<BuildEvent> {
        let [done, total] = [current, total].map(|n| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
        let step = self.step.as_ref().filter(|_| total > 0).map(|(step, _)| step.clone());
        step.map(|step| BuildEvent::Progress { step, what: layer, done, total }).into_iter().collect()
    }

    /// Ends a build that has succeeded, and with it the current step.
    pub fn end(&mut self, now: Duration) -> Vec<BuildEvent> {
        let how = |begun| match self.cached {
            true => StepOutcome::Cached,
            false => StepOutcome::Done(now.saturating_sub(begun)),
        };
        let ended = self.step.take().map(|(step, begun)| BuildEvent::Finished { step, how: how(begun) });
        self.cached = false;
        ended.into_iter().collect()
    }

    /// Ends the current step as failed.
    pub fn fail(&mut self, why: &str) -> Vec<BuildEvent> {
        let ended = self.step.take();
        let how = StepOutcome::Failed(reason(why));
        ended.map(|(step, _)| BuildEvent::Finished { step, how }).into_iter().collect()
    }

    /// The images that this build has created, the newest first.
    pub fn made(&self) -> impl Iterator<Item = &str> {
        self.made.iter().rev().map(String::as_str)
    }
}

/// Reads a heading: `Step 2/3 : RUN make` is the step `2/3` with the name `[2/3] RUN make`. Podman
/// replaces the classic builder, and writes `STEP 2/3: RUN make` (buildah,
/// `imagebuildah/stage_executor.go`).
fn heading(text: &str) -> Option<(String, String)> {
    let (step, what) = match text.strip_prefix("Step ") {
        Some(rest) => rest.split_once(" : ")?,
        None => text.strip_prefix("STEP ")?.split_once(": ")?,
    };
    let (number, all) = step.split_once('/')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(number) && is_number(all)).then(|| (step.to_owned(), format!("[{step}] {}", what.trim())))
}

/// The text without the colour that the builder gives to output on stderr (moby,
/// `streamformatter.stderrFormatter`).
fn plain(text: &str) -> &str {
    match text.strip_prefix("\x1b[91m") {
        Some(text) => text.strip_suffix("\x1b[0m").unwrap_or(text),
        None => text,
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::super::build_events::Steps;
    use super::*;

    #[test]
    fn headings() {
        let named = |text| heading(text).map(|(_, name)| name);
        assert_eq!(named("Step 2/3 : RUN a : b"), Some("[2/3] RUN a : b".into()));
        assert_eq!(named("STEP 2/3: RUN a\n"), Some("[2/3] RUN a".into()));
        for none in ["Step by step : x", "STEP: 1", "Step 1 : x"] {
            assert_eq!(named(none), None);
        }
    }

    #[test]
    fn a_build_of_the_classic_builder() {
        let (mut text, mut steps) = (Text::default(), Steps::default());
        let pieces = [
            "Step 1/4 : FROM busybox",
            "\n",
            " ---> bc072d860bf5\n",
            "Step 2/4 : ENV A=b",
            "\n",
            " ---> Using cache\n",
            " ---> 0123456789ab\n",
            "Step 3/4 : RUN make",
            "\n",
            " ---> Running in 5a5a5a5a5a5a\n",
            "making\n",
            "\x1b[91ma warning\n\x1b[0m",
            "Removing intermediate container 5a5a5a5a5a5a\n",
            " ---> ba9876543210\n",
            "Step 4/4 : RUN false",
        ];
        let mut lines = Vec::new();
        let mut tell = |events: Vec<BuildEvent>, steps: &mut Steps| {
            let updates = events.into_iter().flat_map(|event| steps.apply(event)).collect::<Vec<_>>();
            lines.extend(updates.iter().filter_map(super::super::build_events::StepUpdate::plain));
        };
        for (seconds, piece) in pieces.iter().enumerate() {
            tell(text.read(piece, Duration::from_secs(seconds as u64)), &mut steps);
        }
        tell(text.fail("non-zero code: 1"), &mut steps);
        insta::assert_snapshot!(lines.join("\n"), @r"
        #1 [1/4] FROM busybox
        #1 DONE 3.0s
        #2 [2/4] ENV A=b
        #2 CACHED
        #3 [3/4] RUN make
        #3 3.000 making
        #3 4.000 a warning
        #3 DONE 7.0s
        #4 [4/4] RUN false
        #4 ERROR: non-zero code: 1
        ");
        assert_eq!(text.made().collect::<Vec<_>>(), ["ba9876543210"]);
    }
}
