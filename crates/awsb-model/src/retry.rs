//! The number of attempts of a job, and the ends after which it is retried.

use std::str::FromStr;

use super::request::{EvaluateOnExit, RetryStrategy};
use super::{Invalid, limits};

/// The number of attempts of a job, 1 to 10 ([`limits::ATTEMPTS`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(u8);

impl Attempts {
    /// The number of attempts.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Attempts {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse::<u8>() {
            Ok(n) if limits::ATTEMPTS.contains(&n) => Ok(Self(n)),
            _ => Err(Invalid::because("a job has 1 to 10 attempts")),
        }
    }
}

/// An end after which a job is retried (`--retry-on`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryOn {
    /// The instance was lost, such as a Spot instance that is reclaimed (UG `bestpractice6`: `Host
    /// EC2*`).
    Spot,
    /// An exit code, or the beginning of one with `*`.
    Exit(String),
    /// The container's reason. A `*` at its end stands for any characters.
    Reason(String),
}

/// The value of one `--retry-on`: `exit:137,143` are two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOnArg(Vec<RetryOn>);

impl FromStr for RetryOnArg {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::because("one of: spot, exit:CODE[,CODE…] and reason:TEXT, with a `*` at the end for any")
        };
        match text.split_once(':') {
            None if text == "spot" => Ok(Self(vec![RetryOn::Spot])),
            Some(("exit", codes)) => codes.split(',').map(exit_code).collect::<Result<_, _>>().map(Self),
            Some(("reason", reason)) if !reason.trim().is_empty() => {
                if reason.len() > limits::RETRY_GLOB_LENGTH {
                    return Err(Invalid::because("a reason has at most 512 characters"));
                }
                glob_at_the_end(reason)?;
                let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || ".:*".contains(c);
                match reason.chars().find(|c| !allowed(*c)) {
                    None => Ok(Self(vec![RetryOn::Reason(reason.to_owned())])),
                    Some(c) => Err(Invalid::because(format!(
                        "Batch takes letters, digits, `.`, `:`, blanks and a `*` at the end, not `{c}`; \
                         end with `*` before it"
                    ))),
                }
            }
            _ => Err(wrong()),
        }
    }
}

fn exit_code(text: &str) -> Result<RetryOn, Invalid> {
    let digits = text.strip_suffix('*').unwrap_or(text);
    let is_code = digits.len() <= 3
        && (!digits.is_empty() || text == "*")
        && digits.bytes().all(|b| b.is_ascii_digit())
        && digits.parse::<u16>().unwrap_or(0) <= 255;
    match is_code {
        true => Ok(RetryOn::Exit(text.to_owned())),
        false => Err(Invalid::because(format!("`{text}` is not an exit code from 0 to 255"))),
    }
}

fn glob_at_the_end(text: &str) -> Result<(), Invalid> {
    match text.find('*') {
        Some(at) if at + 1 != text.len() => {
            Err(Invalid::because("Batch understands one `*`, at the end (API EvaluateOnExit)"))
        }
        _ => Ok(()),
    }
}

/// The number of attempts, and the ends after which a job is retried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retries {
    attempts: Option<Attempts>,
    on: Vec<RetryOn>,
}

/// The number of attempts of a job with `--retry-on` and without `--retry-attempts`.
const ATTEMPTS_WITH_RULES: u8 = 3;

impl Retries {
    /// Puts together what the options say.
    ///
    /// # Errors
    /// When there are more ends than Batch has rules for.
    pub fn new(attempts: Option<Attempts>, on: &[RetryOnArg]) -> Result<Self, Invalid> {
        let on: Vec<RetryOn> = on.iter().flat_map(|arg| arg.0.iter().cloned()).collect();
        if on.len() >= limits::EVALUATE_ON_EXIT {
            return Err(Invalid::because(format!(
                "{} ends are given, and Batch takes at most {} (one of its {} rules has to say that every \
                 other end is final)",
                on.len(),
                limits::EVALUATE_ON_EXIT - 1,
                limits::EVALUATE_ON_EXIT
            )));
        }
        match attempts {
            Some(one) if one.get() == 1 && !on.is_empty() => {
                Err(Invalid::because("with `--retry-attempts 1` a job is not tried again: give 2 or more"))
            }
            _ => Ok(Self { attempts, on }),
        }
    }

    /// The retry strategy of the request. `None` leaves it to the job definition.
    pub fn strategy(&self) -> Option<RetryStrategy> {
        if self.on.is_empty() {
            let attempts = Some(self.attempts?.get());
            return Some(RetryStrategy { attempts, evaluate_on_exit: Vec::new() });
        }
        let retry = EvaluateOnExit { action: "RETRY", ..EvaluateOnExit::default() };
        let mut rules: Vec<EvaluateOnExit> = self
            .on
            .iter()
            .map(|on| match on.clone() {
                RetryOn::Spot => {
                    EvaluateOnExit { on_status_reason: Some("Host EC2*".to_owned()), ..retry.clone() }
                }
                RetryOn::Exit(code) => EvaluateOnExit { on_exit_code: Some(code), ..retry.clone() },
                RetryOn::Reason(reason) => EvaluateOnExit { on_reason: Some(reason), ..retry.clone() },
            })
            .collect();
        // Without this rule, Batch would also retry after all other ends (UG `job_retries`).
        let any = Some("*".to_owned());
        rules.push(EvaluateOnExit { on_reason: any, action: "EXIT", ..EvaluateOnExit::default() });
        let attempts = self.attempts.map_or(ATTEMPTS_WITH_RULES, Attempts::get);
        Some(RetryStrategy { attempts: Some(attempts), evaluate_on_exit: rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(attempts: Option<&str>, on: &[&str]) -> Result<Retries, Invalid> {
        let on: Vec<RetryOnArg> = on.iter().map(|o| o.parse()).collect::<Result<_, _>>()?;
        Retries::new(attempts.map(str::parse).transpose()?, &on)
    }

    #[test]
    fn rules_end_with_one_that_lets_nothing_else_through() -> Result<(), Invalid> {
        let strategy = retries(None, &["spot", "exit:137,143", "reason:CannotPull*"])?.strategy();
        insta::assert_snapshot!(serde_json::to_string_pretty(&strategy).unwrap_or_default());
        assert_eq!(retries(None, &[])?.strategy(), None);
        let plain = Some(RetryStrategy { attempts: Some(5), evaluate_on_exit: Vec::new() });
        assert_eq!(retries(Some("5"), &[])?.strategy(), plain);
        Ok(())
    }

    #[test]
    fn what_batch_would_not_take() {
        for bad in
            ["", "spots", "exit:", "exit:256", "exit:1,x", "exit:1*2", "reason:", "reason:a*b", "reason:a/b"]
        {
            assert!(bad.parse::<RetryOnArg>().is_err(), "{bad}");
        }
        assert!(retries(None, &["exit:1,2,3,4"]).is_ok());
        assert!(retries(None, &["exit:1,2,3,4,5"]).is_err());
        assert!(retries(Some("1"), &["spot"]).is_err());
    }
}
