//! Finding where the last lines of a log begin, from its end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;

use super::files::LogFile;

/// Bytes read at once on the way back.
const BLOCK: u64 = 64 << 10;

/// A file with how many of its first lines to leave out.
pub(super) struct From {
    pub(super) file: LogFile,
    pub(super) skip: u64,
}

/// Those of `files` (oldest first) that have the last `count` lines. Plain files stand at the
/// first of them.
pub(super) fn last(files: Vec<LogFile>, count: u64) -> std::io::Result<VecDeque<From>> {
    let mut wanted = count;
    let mut chosen = VecDeque::new();
    for mut file in files.into_iter().rev() {
        // The file that is written belongs to it in any case: more may come.
        if wanted == 0 && !file.current {
            break;
        }
        let (skip, found) = if file.compressed {
            let lines = count_compressed(&mut file)?;
            (lines.saturating_sub(wanted), lines.min(wanted))
        } else {
            (0, seek_back(&mut file, wanted)?)
        };
        wanted -= found;
        chosen.push_front(From { file, skip });
    }
    Ok(chosen)
}

/// Puts `file` at the beginning of its last `wanted` lines; how many there are, at most `wanted`.
fn seek_back(file: &mut LogFile, wanted: u64) -> std::io::Result<u64> {
    let mut end = file.file.metadata()?.len();
    let mut ends_of_lines = 0;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        block.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        file.file.read_exact_at(&mut block, start)?;
        for (offset, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // The end of the line before the first wanted one.
            if ends_of_lines == wanted {
                file.file.seek(SeekFrom::Start(start + offset as u64 + 1))?;
                return Ok(wanted);
            }
            ends_of_lines += 1;
        }
        end = start;
    }
    file.file.seek(SeekFrom::Start(0))?;
    Ok(ends_of_lines)
}

fn count_compressed(file: &mut LogFile) -> std::io::Result<u64> {
    let mut reader = BufReader::new(MultiGzDecoder::new(&file.file));
    let mut lines = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = buffer.len();
        reader.consume(length);
    }
    (&file.file).seek(SeekFrom::Start(0))?;
    Ok(lines)
}
