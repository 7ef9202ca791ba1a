//! Reading logs as the shim writes and rotates them.

use std::io::Write;
use std::path::Path;

use super::*;

fn entry(number: u32) -> String {
    let (minutes, seconds) = (number / 60, number % 60);
    format!(
        "{{\"log\":\"line {number}\\n\",\"stream\":\"stdout\",\
         \"time\":\"2024-01-01T00:{minutes:02}:{seconds:02}Z\"}}\n"
    )
}

fn append(path: &Path, numbers: std::ops::Range<u32>) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for number in numbers {
        file.write_all(entry(number).as_bytes()).unwrap();
    }
}

fn compress(path: &Path) {
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::path::PathBuf::from(name)
    };
    let file = std::fs::File::create(named(".gz.tmp")).unwrap();
    let source = std::fs::File::open(path).unwrap();
    source.set_modified(std::time::SystemTime::now()).unwrap();
    let facts = source.metadata().unwrap();
    let since = facts.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    let (inode, modified) = (std::os::unix::fs::MetadataExt::ino(&facts), since.as_nanos());
    let time = "2024-01-01T00:00:00Z";
    let note = format!("{{\"lastTime\":\"{time}\",\"inode\":{inode},\"modified\":{modified}}}");
    let mut encoder = flate2::GzBuilder::new().extra(note).write(file, flate2::Compression::fast());
    encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    std::fs::rename(named(".gz.tmp"), named(".gz")).unwrap();
    std::fs::remove_file(path).unwrap();
}

fn all(reader: &mut Reader) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        let batch = reader.batch().unwrap();
        if batch.is_empty() {
            return numbers;
        }
        numbers.extend(batch.iter().map(|line| {
            let text = std::str::from_utf8(&line.bytes).unwrap();
            text.trim().strip_prefix("line ").unwrap().parse::<u32>().unwrap()
        }));
    }
}

fn time(number: u32) -> Timestamp {
    format!("2024-01-01T00:{:02}:{:02}Z", number / 60, number % 60).parse().unwrap()
}

/// A log of 30 lines: the first ten compressed, ten rotated, ten current.
fn rotated() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    append(&directory.path().join("x.log.2"), 0..10);
    compress(&directory.path().join("x.log.2"));
    append(&directory.path().join("x.log.1"), 10..20);
    append(&path, 20..30);
    (directory, path)
}

fn open(path: &Path, filter: Filter, tail: Option<u64>) -> Reader {
    let place = Place { path: path.to_owned(), format: format::Format::Json };
    Reader::open(place, filter, tail, Extent::Growing).unwrap()
}

#[test]
fn all_files_are_read_in_order() {
    let (_directory, path) = rotated();
    let numbers = all(&mut open(&path, Filter::default(), None));
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
}

#[test]
fn the_last_lines_are_found_in_whatever_files_they_are() {
    let (_directory, path) = rotated();
    for count in [0, 1, 9, 10, 11, 20, 25, 30, 99] {
        let numbers = all(&mut open(&path, Filter::default(), Some(count)));
        let first = 30u32.saturating_sub(u32::try_from(count).unwrap());
        assert_eq!(numbers, (first..30).collect::<Vec<_>>(), "tail {count}");
    }
}

#[test]
fn lines_are_picked_by_time() {
    let (_directory, path) = rotated();
    let filter = Filter { since: Some(time(5)), until: Some(time(25)) };
    let mut reader = open(&path, filter, None);
    assert_eq!(all(&mut reader), (5..26).collect::<Vec<_>>());
    assert!(reader.is_past_end());
}

#[test]
fn a_line_is_read_when_its_end_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    let line = entry(1);
    let (begin, end) = line.split_at(20);
    std::fs::write(&path, begin).unwrap();
    let mut reader = open(&path, Filter::default(), None);
    assert!(all(&mut reader).is_empty());
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(end.as_bytes()).unwrap();
    assert_eq!(all(&mut reader), [1]);
}

#[test]
fn rotations_lose_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    let name = |number: u32| directory.path().join(format!("x.log.{number}"));
    append(&path, 0..5);
    let mut reader = open(&path, Filter::default(), None);
    assert_eq!(all(&mut reader), (0..5).collect::<Vec<_>>());
    // Written and rotated twice before the reader looks again.
    append(&path, 5..10);
    std::fs::rename(&path, name(1)).unwrap();
    append(&path, 10..15);
    std::fs::rename(name(1), name(2)).unwrap();
    std::fs::rename(&path, name(1)).unwrap();
    assert_eq!(all(&mut reader), (5..15).collect::<Vec<_>>());
    append(&path, 15..20);
    assert_eq!(all(&mut reader), (15..20).collect::<Vec<_>>());
    // And once so that what was read is compressed by then.
    append(&path, 20..25);
    assert_eq!(all(&mut reader), (20..25).collect::<Vec<_>>());
    std::fs::rename(name(1), name(3)).unwrap();
    std::fs::rename(&path, name(1)).unwrap();
    compress(&name(1));
    append(&path, 25..30);
    assert_eq!(all(&mut reader), (25..30).collect::<Vec<_>>());
}

/// What the shim does when a file is full.
fn rotate(path: &Path, files: u32) {
    let name = |number: u32| path.with_file_name(format!("x.log.{number}"));
    let packed = |number: u32| path.with_file_name(format!("x.log.{number}.gz"));
    for number in (1..files).rev() {
        let _ = std::fs::rename(packed(number), packed(number + 1));
    }
    std::fs::rename(path, name(1)).unwrap();
    compress(&name(1));
}

#[test]
fn a_reader_finds_its_place_among_compressed_files_whatever_their_times() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    append(&path, 0..5);
    let mut reader = open(&path, Filter::default(), None);
    assert_eq!(all(&mut reader), (0..5).collect::<Vec<_>>());
    // All lines of this log have one time from now on, as those of a burst may have.
    for number in 0..5 {
        rotate(&path, 9);
        append(&path, 5..6);
        append(&path, 5..6);
        if number % 2 == 0 {
            continue;
        }
        assert_eq!(all(&mut reader), [5, 5, 5, 5], "{number}");
    }
    // And when all that it knows is gone, the rest is new.
    for number in 1..9 {
        let _ = std::fs::remove_file(path.with_file_name(format!("x.log.{number}.gz")));
    }
    std::fs::remove_file(&path).unwrap();
    append(&path, 6..8);
    assert_eq!(all(&mut reader), [6, 7]);
}

#[test]
fn rotations_at_any_moment_lose_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    append(&path, 0..1);
    let mut reader = open(&path, Filter::default(), None);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            for number in 1..600 {
                append(&path, number..number + 1);
                if number % 3 == 0 {
                    rotate(&path, 250);
                }
            }
        }
    });
    let mut numbers = Vec::new();
    while numbers.len() < 600 {
        let read = all(&mut reader);
        assert!(
            !read.is_empty() || !writer.is_finished() || {
                numbers.extend(all(&mut reader));
                numbers.len() == 600
            },
            "it ends with {:?}",
            numbers.last()
        );
        numbers.extend(read);
    }
    writer.join().unwrap();
    let parted = numbers.iter().zip(0..).position(|(number, expected)| *number != expected);
    let around = numbers.iter().skip(parted.unwrap_or(0).saturating_sub(3)).take(6);
    assert_eq!(parted, None, "{:?}", around.collect::<Vec<_>>());
    assert_eq!(numbers.len(), 600);
}

#[test]
fn a_log_that_was_emptied_is_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    append(&path, 0..5);
    let mut reader = open(&path, Filter::default(), None);
    assert_eq!(all(&mut reader), (0..5).collect::<Vec<_>>());
    std::fs::File::create(&path).unwrap();
    append(&path, 5..7);
    assert_eq!(all(&mut reader), [5, 6]);
}

#[test]
fn who_does_not_follow_reads_what_was_there_at_first() {
    let (_directory, path) = rotated();
    let place = Place { path: path.clone(), format: format::Format::Json };
    let mut reader = Reader::open(place, Filter::default(), Some(15), Extent::UntilNow).unwrap();
    append(&path, 30..40);
    assert_eq!(all(&mut reader), (15..30).collect::<Vec<_>>());
}

#[test]
fn damaged_lines_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    append(&path, 0..1);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\0\0\0\n{\"log\":\n").unwrap();
    append(&path, 1..2);
    assert_eq!(all(&mut open(&path, Filter::default(), None)), [0, 1]);
}

#[tokio::test]
async fn a_follower_gets_what_comes_until_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.log");
    append(&path, 0..2);
    let watcher = Watcher::default();
    let changes = watcher.listen(directory.path()).unwrap();
    let (sender, mut receiver) = mpsc::channel(100);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let reader = open(&path, Filter::default(), None);
    let mut teller = Teller { reader: Some(reader), sender, wanted: |_: &LogLine| true };
    let telling = tokio::spawn(async move {
        teller.follow(changes, None, async { drop(ended.await) }).await.unwrap();
    });
    for _ in 0..2 {
        receiver.recv().await.unwrap().unwrap();
    }
    append(&path, 2..3);
    receiver.recv().await.unwrap().unwrap();
    append(&path, 3..4);
    end.send(()).unwrap();
    telling.await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap().bytes, "line 3\n");
    assert!(receiver.recv().await.is_none());
}
