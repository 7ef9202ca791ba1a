//! `checkpoint`: write the processes of a container to files.

use super::{Global, streams};
use crate::container::Container;
use crate::container::checkpoint::{CheckpointRequest, Kind, prepare_images};
use crate::container::status::Action;
use crate::criu::rpc::CgroupMode;
use crate::criu::settings::Settings;
use crate::error::{Context, Error, Result};
use crate::linux::descriptor;
use crate::log::Level;
use rustix::fs::OFlags;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// checkpoint a running container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// path for previous criu image files in pre-dump
    #[arg(long, value_name = "DIRECTORY")]
    parent_path: Option<String>,
    /// leave the process running after checkpointing
    #[arg(long)]
    leave_running: bool,
    /// skip in-flight tcp connections
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// allow one to link unlinked files back when possible
    #[arg(long)]
    link_remap: bool,
    /// criu writes \0 to this FD once lazy-pages is ready
    #[arg(long, value_name = "FD", default_value_t = -1, allow_negative_numbers = true)]
    status_fd: i32,
    /// ADDRESS:PORT of the page server
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
    /// dump container's memory information only, leave the container running after this
    #[arg(long)]
    pre_dump: bool,
    /// the container's id
    container_id: String,
}

/// What `checkpoint` and `restore` have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// path for criu image files, defaults to "checkpoint" in the current directory
    #[arg(long, value_name = "DIRECTORY")]
    image_path: Option<PathBuf>,
    /// path for saving work files and logs, defaults to that of the image files
    #[arg(long, value_name = "DIRECTORY")]
    work_path: Option<PathBuf>,
    /// allow open tcp connections
    #[arg(long)]
    tcp_established: bool,
    /// close open tcp connections
    #[arg(long)]
    tcp_close: bool,
    /// allow external unix sockets
    #[arg(long)]
    ext_unix_sk: bool,
    /// allow shell jobs
    #[arg(long)]
    shell_job: bool,
    /// use userfaultfd to lazily restore memory pages
    #[arg(long)]
    lazy_pages: bool,
    /// handle file locks, for safety
    #[arg(long)]
    file_locks: bool,
    /// cgroups mode: soft|full|strict|ignore (default: soft)
    #[arg(long, value_name = "MODE")]
    manage_cgroups_mode: Option<String>,
    /// create a namespace, but don't restore its properties
    #[arg(long, value_name = "NAMESPACE")]
    empty_ns: Vec<String>,
    /// enable auto deduplication of memory images
    #[arg(long)]
    auto_dedup: bool,
}

impl Common {
    /// Understands the arguments; paths count from the current directory.
    pub(super) fn settings(&self) -> Result<Settings> {
        if let Some(other) = self.empty_ns.iter().find(|name| *name != "network") {
            // The network is always left to others.
            return Err(Error::unsupported(format!("namespace {other:?} is not supported")));
        }
        let images = self.image_path.clone().filter(|path| !path.as_os_str().is_empty());
        let images = images.unwrap_or_else(|| "checkpoint".into());
        let work = self.work_path.clone().filter(|path| !path.as_os_str().is_empty());
        Ok(Settings {
            images: std::path::absolute(&images).context(|| "--image-path")?,
            work: streams::absolute(work)?,
            tcp_established: self.tcp_established,
            tcp_close: self.tcp_close,
            ext_unix_sk: self.ext_unix_sk,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            lazy_pages: self.lazy_pages,
            auto_dedup: self.auto_dedup,
            cgroups: match self.manage_cgroups_mode.as_deref().unwrap_or_default() {
                "" => CgroupMode::Default,
                "soft" => CgroupMode::Soft,
                "full" => CgroupMode::Full,
                "strict" => CgroupMode::Strict,
                "ignore" => CgroupMode::Ignore,
                _ => return Err(Error::invalid("invalid manage-cgroups-mode value")),
            },
        })
    }
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let container = Container::open(&global.root, &arguments.container_id)?;
    container.status()?.allows(Action::Checkpoint)?;
    let request = arguments.request()?;
    prepare_images(&request.settings.images, request.parent.as_deref())?;
    container.checkpoint(&request, &global.log)?;
    if request.kind == Kind::Final
        && let Err(error) = container.remove_dumped(&global.log)
    {
        // The checkpoint is there, which is what was asked for.
        global.log.write(Level::Warning, &error.to_string());
    }
    Ok(())
}

impl Arguments {
    fn request(&self) -> Result<CheckpointRequest> {
        Ok(CheckpointRequest {
            settings: self.common.settings()?,
            kind: match (self.pre_dump, self.leave_running) {
                (true, _) => Kind::Memory,
                (false, true) => Kind::LeaveRunning,
                (false, false) => Kind::Final,
            },
            parent: self.parent_path.clone().filter(|path| !path.is_empty()),
            page_server: self.page_server.as_deref().map(parse_page_server).transpose()?,
            tcp_skip_in_flight: self.tcp_skip_in_flight,
            link_remap: self.link_remap,
            status: match (self.common.lazy_pages, self.status_fd) {
                (true, 0..) => Some(open_status(self.status_fd)?),
                _ => None,
            },
        })
    }
}

/// Takes hold of the descriptor that the caller has opened under this number.
fn open_status(number: i32) -> Result<OwnedFd> {
    let what = || format!("invalid --status-fd argument {number}");
    let fd = descriptor::duplicate(number).context(what)?;
    let flags = rustix::fs::fcntl_getfl(&fd).context(what)?;
    match flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        true => Ok(fd),
        false => Err(Error::invalid(format!("{}: not writable", what()))),
    }
}

/// Reads `ADDRESS:PORT`, where an address with colons is in brackets.
fn parse_page_server(text: &str) -> Result<(String, u16)> {
    let usage = || Error::invalid("Use --page-server ADDRESS:PORT to specify page server");
    let (address, port) = text.rsplit_once(':').ok_or_else(usage)?;
    let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match inner {
        Some(inner) => inner,
        None if address.contains(':') => return Err(usage()),
        None => address,
    };
    if address.is_empty() || port.is_empty() {
        return Err(usage());
    }
    let port = port.parse().ok().filter(|port| *port != 0);
    Ok((address.to_owned(), port.ok_or_else(|| Error::invalid("Invalid port number"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        assert_eq!(parse_page_server("0.0.0.0:27277").unwrap(), ("0.0.0.0".to_owned(), 27277));
        assert_eq!(parse_page_server("[::1]:1").unwrap(), ("::1".to_owned(), 1));
        for bad in ["", "host", ":1", "host:", "::1:1", "host:x", "host:0", "host:65536"] {
            assert!(parse_page_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_status_descriptor_must_be_open_and_writable() {
        use std::os::fd::AsRawFd;
        let reader = std::fs::File::open("/dev/null").unwrap();
        let error = open_status(reader.as_raw_fd()).unwrap_err().to_string();
        assert!(error.ends_with("not writable"), "{error}");
        let error = open_status(9999).unwrap_err().to_string();
        assert!(error.starts_with("invalid --status-fd argument 9999: "), "{error}");
    }
}
