//! Layers made of real files: programs, libraries and texts compress as such things do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that is larger would be half of a layer.
const LARGEST: u64 = 40 << 20;

/// This machine's files, taken one after the other.
pub(crate) struct Content {
    files: std::vec::IntoIter<PathBuf>,
}

impl Content {
    /// Those below `directory`, each time in the same order.
    pub(crate) fn of(directory: &Path) -> Content {
        let mut files = Vec::new();
        list(directory, &mut files);
        Content { files: files.into_iter() }
    }

    /// A layer of the next files, until it has `bytes` bytes.
    pub(crate) fn layer(&mut self, bytes: u64) -> Vec<u8> {
        let mut layer = Layer::new();
        while layer.size() < bytes {
            layer.add(&self.files.next().expect("this machine has enough files"));
        }
        layer.finish()
    }

    /// A layer of `count` small files: pieces of the next files.
    pub(crate) fn small_files(&mut self, count: usize) -> Vec<u8> {
        let mut layer = Layer::new();
        let mut made = 0;
        while made < count {
            let file = self.files.next().expect("this machine has enough files");
            if file.is_symlink() {
                continue;
            }
            let content = fs::read(file).expect("read a file");
            // 500 bytes to 6 KB: what source files and modules of scripts have.
            for (piece, at) in content.chunks(6000).zip(made..count) {
                let length = piece.len().min(500 + at * 37 % 5500);
                layer.file(&format!("srv/{}/{}/{at}", at / 3000, at / 50), &piece[..length]);
                made += 1;
            }
        }
        layer.finish()
    }
}

/// Regular files and links, each directory's in order.
fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).expect("list a directory");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => list(&path, files),
            Ok(found) if found.is_symlink() => files.push(path),
            Ok(found) if found.is_file() && found.len() <= LARGEST && found.nlink() == 1 => {
                files.push(path);
            }
            _ => {}
        }
    }
}

/// A tar in the making, with the directories that its files are in.
struct Layer {
    tar: tar::Builder<Vec<u8>>,
    directories: std::collections::HashSet<PathBuf>,
}

impl Layer {
    fn new() -> Layer {
        let mut tar = tar::Builder::new(Vec::new());
        tar.follow_symlinks(false);
        Layer { tar, directories: Default::default() }
    }

    fn size(&self) -> u64 {
        self.tar.get_ref().len() as u64
    }

    fn add(&mut self, path: &Path) {
        let name = path.strip_prefix("/").expect("it is absolute").to_owned();
        self.directories_of(&name);
        self.tar.append_path_with_name(path, name).expect("write to memory");
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.directories_of(Path::new(name));
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, name, content).expect("write to memory");
    }

    fn directories_of(&mut self, name: &Path) {
        let mut above: Vec<_> = name.ancestors().skip(1).map(Path::to_owned).collect();
        above.retain(|path| !path.as_os_str().is_empty());
        for path in above.into_iter().rev().filter(|path| self.directories.insert(path.clone())) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_mtime(1_700_000_000);
            header.set_size(0);
            self.tar.append_data(&mut header, path, &[][..]).expect("write to memory");
        }
    }

    fn finish(self) -> Vec<u8> {
        self.tar.into_inner().expect("write to memory")
    }
}
