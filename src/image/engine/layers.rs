//! The layers of an image that is pushed, from the engine's output. Pure.

use serde::Deserialize;

use super::build_events::moved;

/// The number of characters of a layer's progress bar.
const BAR: usize = 30;

/// A line of the engine's answer to a push (Docker Engine API, `ImagePush`; moby,
/// `jsonmessage.JSONMessage`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    /// The short ID of the layer.
    pub id: Option<String>,
    /// The state of the layer.
    pub status: Option<String>,
    /// The progress of the layer.
    pub progress_detail: Option<Detail>,
    /// The reason why the push failed.
    pub error: Option<String>,
    /// The result, at the end of a push.
    pub aux: Option<Pushed>,
}

/// The progress of a layer, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Detail {
    current: i64,
    total: i64,
}

/// The result of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pushed {
    /// `sha256:…` of the manifest.
    pub digest: Option<String>,
}

/// The state of each layer, in the order in which they appeared.
#[derive(Debug, Default)]
pub struct Layers {
    layers: Vec<(String, String)>,
    retried: bool,
}

/// A layer with a new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerUpdate {
    /// The ID of the layer.
    pub id: String,
    /// The current line of the layer.
    pub line: String,
    /// Whether the line is printed where lines cannot change in place.
    pub is_lasting: bool,
}

impl Layers {
    /// Applies a message, and returns the layer whose state is new.
    pub fn apply(&mut self, message: &Message) -> Option<LayerUpdate> {
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
        // The message counts down the seconds, and is reported once.
        let is_new_retry = is_retry && !before.starts_with("Retrying in ");
        let progress = message.progress_detail.and_then(Detail::bar);
        let line = match progress {
            Some(progress) if !is_end => format!("{id}: {status} {progress}"),
            _ => format!("{id}: {status}"),
        };
        let is_lasting = (is_end && before != status) || is_new_retry;
        Some(LayerUpdate { id, line, is_lasting })
    }

    /// Whether the engine itself has retried a layer.
    pub fn were_retried(&self) -> bool {
        self.retried
    }

    /// The current line of each layer.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.layers.iter().map(|(id, status)| format!("{id}: {status}"))
    }
}

impl Detail {
    /// `[=====>    ] 1.20 MB of 3.00 MB`. Without any numbers there is no bar.
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
        let cases = [
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
        for text in cases {
            let message: Message = serde_json::from_str(text).unwrap();
            shown.extend(
                layers
                    .apply(&message)
                    .map(|update| format!("{} {}", u8::from(update.is_lasting), update.line)),
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
