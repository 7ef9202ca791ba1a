//! Finding where the last lines of a log begin, from its end.

use std::collections::VecDeque;
use std::io::{BufReader, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;

use super::files::LogFile;
use super::format::Format;

/// A file with how many of its first lines to leave out.
pub(super) struct From {
    pub(super) file: LogFile,
    pub(super) skip: u64,
}

/// Those of `files` (oldest first) that have the last `count` lines. Plain files stand at the
/// first of them.
pub(super) fn last(
    files: Vec<LogFile>,
    format: Format,
    count: u64,
) -> std::io::Result<VecDeque<From>> {
    let mut wanted = count;
    let mut chosen = VecDeque::new();
    for mut file in files.into_iter().rev() {
        // The newest file belongs to it in any case: more may come.
        if wanted == 0 && !chosen.is_empty() {
            break;
        }
        let (skip, found) = if file.compressed {
            let mut input = BufReader::new(MultiGzDecoder::new(BufReader::new(&file.file)));
            let lines = format.count(&mut input)?;
            drop(input);
            file.file.seek(SeekFrom::Start(0))?;
            (lines.saturating_sub(wanted), lines.min(wanted))
        } else {
            let (start, found) = format.last(&file.file, wanted)?;
            file.file.seek(SeekFrom::Start(start))?;
            (0, found)
        };
        wanted -= found;
        chosen.push_front(From { file, skip });
    }
    Ok(chosen)
}
