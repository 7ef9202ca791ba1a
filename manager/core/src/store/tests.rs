//! What becomes of records, whatever becomes of their file.

use super::*;

const NUMBERS: Table<u32> = Table::new("numbers");
const TEXTS: Table<String> = Table::new("texts");

#[test]
fn a_failed_change_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("state.redb")).unwrap();
    store.write(|change| change.put(&NUMBERS, "one", &1)).unwrap();
    let failed = store.write(|change| {
        change.put(&NUMBERS, "two", &2)?;
        Err::<(), _>(Error::invalid("stop"))
    });
    assert!(failed.is_err());
    assert_eq!(store.list(&NUMBERS).unwrap(), [("one".to_owned(), 1)]);
}

#[test]
fn a_second_opener_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let _first = Store::open(&path).unwrap();
    assert_eq!(Store::open(&path).err().unwrap().kind(), Kind::Unavailable);
}

#[test]
fn a_creation_that_was_cut_off_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::write(path.with_extension("new"), [0; 5000]).unwrap();
    drop(Store::open(&path).unwrap());
    std::fs::write(&path, "").unwrap();
    Store::open(&path).unwrap().write(|change| change.put(&NUMBERS, "one", &1)).unwrap();
    assert!(!path.with_extension("new").exists());
}

#[test]
fn a_damaged_file_is_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::write(&path, "this is no store").unwrap();
    let error = Store::open(&path).err().unwrap().to_string();
    assert!(error.contains("backup") && error.contains("state.redb"), "{error}");
}

#[test]
fn nobody_is_told_to_begin_anew_whose_copy_was_not_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::write(&path, "this is no store").unwrap();
    let error = file::open(&path).err().unwrap().told(&path).to_string();
    assert!(error.contains("start tared again") && !error.contains("remove"), "{error}");
}

#[test]
fn a_full_disk_does_not_stop_small_changes_and_is_got_over() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let directory = tempfile::tempdir().unwrap();
    let small = directory.path().join("small");
    std::fs::create_dir(&small).unwrap();
    mount("tmpfs", &small, "tmpfs", MountFlags::empty(), Some(c"size=16m")).unwrap();
    let store = Store::open(&small.join("state.redb")).unwrap();
    let fill = small.join("fill");
    std::fs::write(&fill, vec![1; 32 << 20]).unwrap_err();

    for number in 0..20 {
        store.write(|change| change.put(&NUMBERS, "small", &number)).unwrap();
    }
    let large = "x".repeat(8 << 20);
    let error = store.write(|change| change.put(&TEXTS, "large", &large)).unwrap_err();
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    assert_eq!(store.get(&NUMBERS, "small").unwrap(), Some(19));

    std::fs::remove_file(&fill).unwrap();
    store.write(|change| change.put(&TEXTS, "less", &"x".repeat(100_000))).unwrap();
    assert_eq!(store.list(&TEXTS).unwrap().len(), 1);
    drop(store);
    unmount(&small, UnmountFlags::DETACH).unwrap();
}

/// A store with records in some tables, closed; what is in it.
fn filled(path: &Path) -> Vec<(String, String)> {
    let store = Store::open(path).unwrap();
    for number in 0..200_u32 {
        let text = format!("{number:050}");
        store
            .write(|change| {
                change.put(&NUMBERS, &number.to_string(), &number)?;
                change.put(&TEXTS, &format!("key\t{number}\n"), &text)?;
                if number % 3 == 0 { change.delete(&TEXTS, "key\t0\n") } else { Ok(()) }
            })
            .unwrap();
    }
    store.list(&TEXTS).unwrap()
}

#[test]
fn one_flipped_bit_anywhere_is_got_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let before = filled(&path);
    let (whole, copy) = (std::fs::read(&path).unwrap(), std::fs::read(copy_of(&path)).unwrap());
    let mut taken_from_copy = 0;
    for position in (0..whole.len()).step_by(4093) {
        let mut content = whole.clone();
        content[position] ^= 1 << (position % 8);
        std::fs::write(&path, content).unwrap();
        std::fs::write(copy_of(&path), &copy).unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.list(&TEXTS).unwrap(), before, "flipped at {position}");
        store.write(|change| change.put(&NUMBERS, "more", &1)).unwrap();
        drop(store);
        taken_from_copy +=
            usize::from(std::fs::remove_file(path.with_extension("damaged")).is_ok());
        assert_eq!(Store::open(&path).unwrap().list(&TEXTS).unwrap(), before);
    }
    assert!(taken_from_copy > 0);
}

#[test]
fn without_a_copy_damage_is_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let before = filled(&path);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for position in (0..whole.len()).step_by(2039) {
        let mut content = whole.clone();
        content[position] ^= 1 << (position % 8);
        std::fs::write(&path, content).unwrap();
        std::fs::remove_file(copy_of(&path)).ok();
        match Store::open(&path) {
            // Nothing is there, or it was mended by what redb has twice.
            Ok(store) => assert_eq!(store.list(&TEXTS).unwrap(), before, "flipped at {position}"),
            Err(error) => {
                assert!(error.to_string().contains("put both back from a backup"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn what_is_cut_off_or_lost_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let before = filled(&path);
    let damages: [fn(&Path); 5] = [
        |path| File::options().write(true).open(path).unwrap().set_len(10_000).unwrap(),
        |path| std::fs::write(path, "").unwrap(),
        |path| std::fs::write(path, "this is no store").unwrap(),
        |path| std::fs::write(path, vec![0; 100_000]).unwrap(),
        |path| std::fs::remove_file(path).unwrap(),
    ];
    for damage in damages {
        damage(&path);
        assert!(Store::is_restorable(&path));
        assert_eq!(Store::open(&path).unwrap().list(&TEXTS).unwrap(), before);
    }
}

#[test]
fn a_copy_that_is_behind_or_damaged_is_not_used_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let mut before = filled(&path);
    let copy = std::fs::read(copy_of(&path)).unwrap();
    let mut flipped = copy.clone();
    flipped[copy.len() / 2] ^= 4;
    // Half of the last line: it is behind by that.
    let cut = copy[..copy.len() - 10].to_vec();
    // One without a transaction in the middle.
    let lines: Vec<_> = copy.split_inclusive(|byte| *byte == b'\n').collect();
    let gap = [&lines[..lines.len() / 2], &lines[lines.len() / 2 + 1..]].concat().concat();
    for copy in [flipped, cut, gap, Vec::new(), copy[..30].to_vec()] {
        std::fs::write(copy_of(&path), copy).unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.list(&TEXTS).unwrap(), before);
        store.write(|change| change.delete(&TEXTS, "key\t199\n")).unwrap();
        before = store.list(&TEXTS).unwrap();
        drop(store);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Store::open(&path).unwrap().list(&TEXTS).unwrap(), before);
    }
}

#[test]
fn what_was_told_to_have_failed_and_is_on_the_disk_gets_into_the_copy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = Store::open(&path).unwrap();
    store.write(|change| change.put(&NUMBERS, "first", &1)).unwrap();
    let written = store.with(|database| write(database, |change| change.put(&NUMBERS, "lost", &2)));
    assert_eq!(written.unwrap().revision, 2);
    store.write(|change| change.put(&NUMBERS, "last", &3)).unwrap();
    let before = store.list(&NUMBERS).unwrap();
    drop(store);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Store::open(&path).unwrap().list(&NUMBERS).unwrap(), before);
}

#[test]
fn what_precedes_damage_in_the_copy_is_better_than_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    filled(&path);
    let mut copy = std::fs::read(copy_of(&path)).unwrap();
    let length = copy.len();
    copy[length / 2..length / 2 + 500].fill(0);
    std::fs::write(copy_of(&path), copy).unwrap();
    std::fs::write(&path, "this is no store").unwrap();
    let numbers = Store::open(&path).unwrap().list(&NUMBERS).unwrap().len();
    assert!((50..150).contains(&numbers), "{numbers}");
}

#[test]
fn records_that_are_older_than_their_copy_are_kept_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    Store::open(&path).unwrap().write(|change| change.put(&NUMBERS, "old", &1)).unwrap();
    let backup = std::fs::read(&path).unwrap();
    let store = Store::open(&path).unwrap();
    store.write(|change| change.delete(&NUMBERS, "old")).unwrap();
    store.write(|change| change.put(&NUMBERS, "new", &2)).unwrap();
    drop(store);
    std::fs::write(&path, backup).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.list(&NUMBERS).unwrap(), [("new".to_owned(), 2)]);
    drop(store);
    // Who meant the backup can have it.
    std::fs::rename(path.with_extension("behind"), &path).unwrap();
    std::fs::remove_file(copy_of(&path)).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.list(&NUMBERS).unwrap(), [("old".to_owned(), 1)]);
}

#[test]
fn a_copy_does_not_grow_for_ever_from_one_start_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let text = "x".repeat(1 << 20);
    for _ in 0..20 {
        let store = Store::open(&path).unwrap();
        store.write(|change| change.put(&TEXTS, "same", &text)).unwrap();
    }
    assert!(copy_of(&path).metadata().unwrap().len() < 10 << 20);
}

#[test]
fn a_copy_does_not_grow_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = Store::open(&path).unwrap();
    let text = "x".repeat(1 << 20);
    for _ in 0..20 {
        store.write(|change| change.put(&TEXTS, "same", &text)).unwrap();
    }
    assert!(copy_of(&path).metadata().unwrap().len() < 10 << 20);
    drop(store);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Store::open(&path).unwrap().get(&TEXTS, "same").unwrap(), Some(text));
}

fn copy_of(path: &Path) -> PathBuf {
    path.with_extension("copy")
}
