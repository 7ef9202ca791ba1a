//! What a classic build says while it goes on.

use tare_core::image::ImageId;

/// Something that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// For people, with its line end if the line has ended.
    Text(String),
    /// The same of what commands write to their standard error.
    Error(String),
    /// This is the image, for programs.
    Image(ImageId),
}

impl Said {
    /// A line.
    pub(super) fn line(text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.push('\n');
        Self::Text(text)
    }
}
