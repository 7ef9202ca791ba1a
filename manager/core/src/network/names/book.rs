//! Who is called what where.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;

use super::words::{Asker, Place};

/// Who is called something, and where each of them is.
type Called = BTreeSet<(String, Vec<IpAddr>)>;

/// All containers that ask for names, and what they are called.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By id.
    askers: BTreeMap<String, Asker>,
    /// By network and name in lower case.
    called: HashMap<(String, String), Called>,
    /// By network and address: what who has it is called first.
    first: HashMap<(String, IpAddr), String>,
}

impl Book {
    /// Writes down what is true of a container from now on.
    pub(super) fn put(&mut self, asker: Asker) {
        self.forget(&asker.container);
        for place in &asker.places {
            for name in &place.names {
                let key = (place.network.clone(), name.to_lowercase());
                let entry = (asker.container.clone(), place.addresses.clone());
                self.called.entry(key).or_default().insert(entry);
            }
            let Some(first) = place.names.first() else { continue };
            for address in &place.addresses {
                let name = format!("{first}.{}", place.network_name);
                self.first.insert((place.network.clone(), *address), name);
            }
        }
        self.askers.insert(asker.container.clone(), asker);
    }

    /// Strikes a container out.
    pub(super) fn forget(&mut self, container: &str) {
        let Some(asker) = self.askers.remove(container) else { return };
        for place in asker.places {
            for name in &place.names {
                let key = (place.network.clone(), name.to_lowercase());
                if let Some(who) = self.called.get_mut(&key) {
                    who.remove(&(container.to_owned(), place.addresses.clone()));
                    if who.is_empty() {
                        self.called.remove(&key);
                    }
                }
            }
            for address in place.addresses {
                self.first.remove(&(place.network.clone(), address));
            }
        }
    }

    /// The containers that are in the book, in the order of their ids, after this one.
    pub(super) fn containers_after(&self, id: &str) -> impl Iterator<Item = &String> {
        let range = (Bound::Excluded(id), Bound::Unbounded);
        self.askers.range::<str, _>(range).map(|(id, _)| id)
    }

    /// What a container has said of itself.
    pub(super) fn asker(&self, container: &str) -> Option<&Asker> {
        self.askers.get(container)
    }

    /// The addresses of what `container` calls `name`, which has no dot at its end; none if it
    /// calls nobody so.
    ///
    /// A network's name may follow. Both may have dots in them, so there are several ways to read a
    /// name; the longest name of a container counts.
    pub(super) fn addresses(&self, container: &str, name: &str) -> Option<Vec<IpAddr>> {
        let name = name.to_lowercase();
        let places = &self.askers.get(container)?.places;
        let dots = name.rmatch_indices('.');
        let split = |at: usize| (&name[..at], Some(&name[at + 1..]));
        let mut readings = [(name.as_str(), None)].into_iter().chain(dots.map(|(at, _)| split(at)));
        readings.find_map(|(name, network)| {
            let meant = |place: &&Place| {
                network.is_none_or(|network| network == place.network_name.to_lowercase())
            };
            let own = || places.iter().filter(meant).filter_map(|place| linked(place, name));
            own()
                .find_map(|(place, target)| self.called_on(place, target))
                .or_else(|| places.iter().filter(meant).find_map(|p| self.called_on(p, name)))
        })
    }

    fn called_on(&self, place: &Place, name: &str) -> Option<Vec<IpAddr>> {
        let who = self.called.get(&(place.network.clone(), name.to_lowercase()))?;
        let addresses: BTreeSet<_> = who.iter().flat_map(|(_, addresses)| addresses).collect();
        Some(addresses.into_iter().copied().collect())
    }

    /// What who has this address on one of the container's networks is called.
    pub(super) fn name_of(&self, container: &str, address: IpAddr) -> Option<&str> {
        let places = &self.askers.get(container)?.places;
        let name = |place: &Place| self.first.get(&(place.network.clone(), address));
        places.iter().find_map(name).map(String::as_str)
    }
}

/// The target that is called `name` by a link, and where.
fn linked<'a>(place: &'a Place, name: &str) -> Option<(&'a Place, &'a str)> {
    let mut links = place.links.iter();
    let (_, target) = links.find(|(word, _)| word.to_lowercase() == name)?;
    Some((place, target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::endpoint::Standpoint;

    fn v4(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn v6(last: u8) -> IpAddr {
        [0xfd00, 0, 0, 0, 0, 0, 0, last.into()].into()
    }

    fn place(network: &str, last: u8, names: &[&str]) -> Place {
        Place {
            network: format!("id-of-{network}"),
            network_name: network.to_owned(),
            addresses: vec![v4(last), v6(last)],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            links: [("store".to_owned(), "db".to_owned())].into(),
        }
    }

    fn asker(container: &str, places: Vec<Place>) -> Asker {
        let name_servers = vec!["9.9.9.9".parse().unwrap()];
        let container = container.to_owned();
        let standpoint = Standpoint::Host;
        Asker { container, places, name_servers, standpoint, keeps_single_words: false }
    }

    fn book() -> Book {
        let mut book = Book::default();
        book.put(asker("c1", vec![place("front", 1, &["web", "Shared"])]));
        book.put(asker(
            "c2",
            vec![place("front", 2, &["api", "shared"]), place("back", 12, &["api"])],
        ));
        book.put(asker("c3", vec![place("back", 13, &["db"])]));
        book
    }

    fn ends(book: &Book, container: &str, name: &str) -> Option<Vec<u8>> {
        let addresses = book.addresses(container, name)?;
        let last = |address: &IpAddr| match address {
            IpAddr::V4(address) => Some(address.octets()[3]),
            IpAddr::V6(_) => None,
        };
        Some(addresses.iter().filter_map(last).collect())
    }

    #[test]
    fn names_are_those_of_the_askers_networks() {
        let book = book();
        assert_eq!(ends(&book, "c1", "API"), Some(vec![2]));
        assert_eq!(ends(&book, "c1", "shared"), Some(vec![1, 2]));
        assert_eq!(ends(&book, "c1", "api.front"), Some(vec![2]));
        assert_eq!(ends(&book, "c1", "api.back"), None);
        assert_eq!(ends(&book, "c1", "db"), None);
        assert_eq!(ends(&book, "c2", "db"), Some(vec![13]));
        assert_eq!(ends(&book, "c2", "api.back"), Some(vec![12]));
        assert_eq!(ends(&book, "c3", "store"), Some(vec![13]));
        assert_eq!(ends(&book, "c1", "store"), None);
        assert_eq!(ends(&book, "stranger", "web"), None);
        for address in [v4(2), v6(2)] {
            assert_eq!(book.name_of("c1", address), Some("api.front"));
        }
        assert_eq!(book.name_of("c1", v4(13)), None);
        assert_eq!(book.addresses("c2", "db"), Some(vec![v4(13), v6(13)]));
    }

    #[test]
    fn a_name_with_dots_is_read_in_all_ways() {
        let mut book = book();
        book.put(asker("c4", vec![place("front", 4, &["www.example.org", "a"])]));
        let mut dotted = place("lan", 5, &["a.b"]);
        dotted.network_name = "c.lan".to_owned();
        book.put(asker("c5", vec![dotted, place("front", 55, &["e"])]));
        assert_eq!(ends(&book, "c1", "www.Example.org"), Some(vec![4]));
        assert_eq!(ends(&book, "c1", "www.example.org.front"), Some(vec![4]));
        assert_eq!(ends(&book, "c5", "a.b.c.lan"), Some(vec![5]));
        assert_eq!(ends(&book, "c5", "b.c.lan"), None);
        assert_eq!(ends(&book, "c5", ".front"), None);
        assert_eq!(ends(&book, "c5", "..."), None);
    }

    #[test]
    fn what_two_are_called_is_where_both_are() {
        let mut book = book();
        // Two of the same address are there for a moment while one takes the other's place.
        book.put(asker("c6", vec![place("front", 2, &["api"])]));
        assert_eq!(ends(&book, "c1", "api"), Some(vec![2]));
        book.forget("c6");
        assert_eq!(ends(&book, "c1", "api"), Some(vec![2]));
    }

    #[test]
    fn who_has_gone_is_called_nothing() {
        let mut book = book();
        book.forget("c2");
        book.forget("c2");
        assert_eq!(ends(&book, "c1", "api"), None);
        assert_eq!(ends(&book, "c1", "shared"), Some(vec![1]));
        book.put(asker("c1", vec![place("front", 1, &["other"])]));
        assert_eq!(ends(&book, "c1", "web"), None);
        assert_eq!(ends(&book, "c1", "other"), Some(vec![1]));
        book.forget("c1");
        book.forget("c3");
        assert!(book.askers.is_empty() && book.called.is_empty() && book.first.is_empty());
    }
}
