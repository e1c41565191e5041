//! The layers of an image that is pushed, as the engine tells of them. Pure.

use serde::Deserialize;

use super::build_events::moved;

/// A layer that is on its way has a bar of so many characters.
const BAR: usize = 30;

/// A line of the engine's answer to a push (Docker Engine API, `ImagePush`; moby, `jsonmessage.JSONMessage`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    /// The layer, by a short ID.
    pub id: Option<String>,
    /// What becomes of it.
    pub status: Option<String>,
    /// How far that is.
    pub progress_detail: Option<Detail>,
    /// Why the push failed.
    pub error: Option<String>,
    /// At the end of a push: what was pushed.
    pub aux: Option<Pushed>,
}

/// How far a layer is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Detail {
    current: i64,
    total: i64,
}

/// What was pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pushed {
    /// `sha256:…`, of the manifest.
    pub digest: Option<String>,
}

/// What is known of each layer, in the order in which they were told.
#[derive(Debug, Default)]
pub struct Layers {
    layers: Vec<(String, String)>,
    retried: bool,
}

/// A layer about which there is something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The layer.
    pub id: String,
    /// Its line now.
    pub line: String,
    /// Whether it is worth a line where lines do not change.
    pub is_lasting: bool,
}

impl Layers {
    /// Takes a message in.
    pub fn take(&mut self, message: &Message) -> Option<News> {
        let (id, status) = (message.id.clone()?, message.status.as_deref()?);
        let is_retry = status.starts_with("Retrying in ");
        self.retried |= is_retry;
        let known = self.layers.iter_mut().find(|(known, _)| *known == id);
        let before = known.as_ref().map(|(_, status)| status.clone()).unwrap_or_default();
        match known {
            Some((_, known)) => status.clone_into(known),
            None => self.layers.push((id.clone(), status.to_owned())),
        }
        let is_end =
            ["Pushed", "Layer already exists", "Mounted from "].iter().any(|end| status.starts_with(end));
        // It counts the seconds; once is enough.
        let is_new_retry = is_retry && !before.starts_with("Retrying in ");
        let progress = message.progress_detail.and_then(Detail::bar);
        let line = match progress {
            Some(progress) if !is_end => format!("{id}: {status} {progress}"),
            _ => format!("{id}: {status}"),
        };
        let is_lasting = (is_end && before != status) || is_new_retry;
        Some(News { id, line, is_lasting })
    }

    /// Whether the engine itself has tried a layer again.
    pub fn were_retried(&self) -> bool {
        self.retried
    }

    /// A line for each layer, as they are.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.layers.iter().map(|(id, status)| format!("{id}: {status}"))
    }
}

impl Detail {
    /// `[=====>    ] 1.20 MB of 3.00 MB`; nothing where nothing is known.
    fn bar(self) -> Option<String> {
        let current = u64::try_from(self.current).ok().filter(|current| *current > 0)?;
        let total = u64::try_from(self.total).unwrap_or(0);
        if total == 0 {
            return Some(moved(current, 0));
        }
        let done = usize::try_from(current.min(total) * BAR as u64 / total).unwrap_or(BAR);
        let tip = if done < BAR { ">" } else { "" };
        let bar = format!("{}{tip}", "=".repeat(done));
        Some(format!("[{bar:BAR$}] {}", moved(current, total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_as_docker_push_shows_them() {
        let mut layers = Layers::default();
        let told = [
            r#"{"status":"The push refers to repository [127.0.0.1:5000/x]"}"#,
            r#"{"status":"Preparing","progressDetail":{},"id":"aaaaaaaaaaaa"}"#,
            r#"{"status":"Preparing","progressDetail":{},"id":"bbbbbbbbbbbb"}"#,
            r#"{"status":"Pushing","progressDetail":{"current":512,"total":2048},"progress":"[=>]","id":"aaaaaaaaaaaa"}"#,
            r#"{"status":"Retrying in 5 seconds","progressDetail":{},"id":"aaaaaaaaaaaa"}"#,
            r#"{"status":"Retrying in 4 seconds","progressDetail":{},"id":"aaaaaaaaaaaa"}"#,
            r#"{"status":"Pushing","progressDetail":{"current":4096,"total":2048},"id":"aaaaaaaaaaaa"}"#,
            r#"{"status":"Layer already exists","progressDetail":{},"id":"bbbbbbbbbbbb"}"#,
            r#"{"status":"Pushed","progressDetail":{},"id":"aaaaaaaaaaaa"}"#,
            r#"{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:00","Size":528}}"#,
        ];
        let mut shown = Vec::new();
        for text in told {
            let message: Message = serde_json::from_str(text).unwrap();
            shown.extend(
                layers.take(&message).map(|news| format!("{} {}", u8::from(news.is_lasting), news.line)),
            );
        }
        insta::assert_snapshot!(shown.join("\n"), @r"
        0 aaaaaaaaaaaa: Preparing
        0 bbbbbbbbbbbb: Preparing
        0 aaaaaaaaaaaa: Pushing [=======>                      ] 512 B of 2.05 kB
        1 aaaaaaaaaaaa: Retrying in 5 seconds
        0 aaaaaaaaaaaa: Retrying in 4 seconds
        0 aaaaaaaaaaaa: Pushing [==============================] 2.05 kB of 2.05 kB
        1 bbbbbbbbbbbb: Layer already exists
        1 aaaaaaaaaaaa: Pushed
        ");
        assert!(layers.were_retried());
        assert_eq!(
            layers.lines().collect::<Vec<_>>(),
            ["aaaaaaaaaaaa: Pushed", "bbbbbbbbbbbb: Layer already exists"]
        );
    }
}
