//! What networks are made of in the kernel: links, addresses, routes, namespaces, settings.

pub(super) mod attributes;
pub(super) mod link;
pub(super) mod netfilter;
pub(super) mod netlink;
pub(super) mod netns;
pub(super) mod route;
pub(super) mod stack;
pub(super) mod subscription;
pub(super) mod sysctl;
