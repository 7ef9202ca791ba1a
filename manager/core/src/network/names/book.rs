//! Who is called what where.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use super::words::{Asker, Place};

/// All containers that ask for names, and what they are called.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By id.
    askers: HashMap<String, Asker>,
    /// By network and name in lower case.
    called: HashMap<(String, String), BTreeSet<(Ipv4Addr, String)>>,
    /// By network and address: what who has it is called first.
    first: HashMap<(String, Ipv4Addr), String>,
}

impl Book {
    /// Writes down what is true of a container from now on.
    pub(super) fn put(&mut self, asker: Asker) {
        self.forget(&asker.container);
        for place in &asker.places {
            for name in &place.names {
                let key = (place.network.clone(), name.to_lowercase());
                let entry = (place.address, asker.container.clone());
                self.called.entry(key).or_default().insert(entry);
            }
            if let Some(first) = place.names.first() {
                let name = format!("{first}.{}", place.network_name);
                self.first.insert((place.network.clone(), place.address), name);
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
                    who.remove(&(place.address, container.to_owned()));
                    if who.is_empty() {
                        self.called.remove(&key);
                    }
                }
            }
            self.first.remove(&(place.network, place.address));
        }
    }

    /// The containers that are in the book.
    pub(super) fn containers(&self) -> impl Iterator<Item = &String> {
        self.askers.keys()
    }

    /// Whether nobody is.
    pub(super) fn is_empty(&self) -> bool {
        self.askers.is_empty()
    }

    /// Who is asked for what nobody in the book is called.
    pub(super) fn name_servers(&self, container: &str) -> Vec<IpAddr> {
        self.askers.get(container).map(|asker| asker.name_servers.clone()).unwrap_or_default()
    }

    /// The addresses of what `container` calls `name`, which has no dot at its end; none if it
    /// calls nobody so. A network's name may follow.
    pub(super) fn addresses(&self, container: &str, name: &str) -> Option<Vec<Ipv4Addr>> {
        let name = name.to_lowercase();
        let asker = self.askers.get(container)?;
        let qualified = name.rsplit_once('.');
        asker.places.iter().find_map(|place| {
            self.called_on(place, &name).or_else(|| match qualified {
                Some((name, network)) if network == place.network_name.to_lowercase() => {
                    self.called_on(place, name)
                }
                _ => None,
            })
        })
    }

    fn called_on(&self, place: &Place, name: &str) -> Option<Vec<Ipv4Addr>> {
        let linked = place.links.iter().find(|(word, _)| word.to_lowercase() == name);
        let name = linked.map_or_else(|| name.to_owned(), |(_, target)| target.to_lowercase());
        let who = self.called.get(&(place.network.clone(), name))?;
        let mut addresses: Vec<_> = who.iter().map(|(address, _)| *address).collect();
        addresses.dedup();
        Some(addresses)
    }

    /// What who has this address on one of the container's networks is called.
    pub(super) fn name_of(&self, container: &str, address: Ipv4Addr) -> Option<&str> {
        let places = &self.askers.get(container)?.places;
        let name = |place: &Place| self.first.get(&(place.network.clone(), address));
        places.iter().find_map(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(network: &str, last: u8, names: &[&str]) -> Place {
        Place {
            network: format!("id-of-{network}"),
            network_name: network.to_owned(),
            address: Ipv4Addr::new(10, 0, 0, last),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            links: [("store".to_owned(), "db".to_owned())].into(),
        }
    }

    fn asker(container: &str, places: Vec<Place>) -> Asker {
        let name_servers = vec!["9.9.9.9".parse().unwrap()];
        Asker { container: container.to_owned(), places, name_servers }
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
        Some(addresses.iter().map(|address| address.octets()[3]).collect())
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
        assert_eq!(book.name_of("c1", Ipv4Addr::new(10, 0, 0, 2)), Some("api.front"));
        assert_eq!(book.name_of("c1", Ipv4Addr::new(10, 0, 0, 13)), None);
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
        assert!(book.is_empty() && book.called.is_empty() && book.first.is_empty());
    }
}
