//! What is replied to a question for a name, as far as the book knows.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use serde::{Deserialize, Serialize};

use super::book::Book;

/// Seconds for which an answer holds.
const LIFETIME: u32 = 600;
/// Bytes of an address's record, whose name stands in the question; the longer ones, of IPv6.
const LARGEST_RECORD: usize = 28;
/// Bytes of the longest answer in a datagram: the kernel takes no more.
const LONGEST_ANSWER: u16 = 65000;
/// What we say that we take by UDP.
const LARGEST_DATAGRAM: u16 = 1232;

/// What is to be done about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This is the answer.
    Answer(Vec<u8>),
    /// Others may know. If none of them has heard of the name, this is the answer.
    Forward(Option<Vec<u8>>),
    /// It is no question.
    Ignore,
}

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// In a datagram; so goes the answer, and it has to fit in.
    Udp,
    /// On a connection.
    Tcp,
}

/// What to do about `question`, which `container` asks.
pub(super) fn answer(book: &Book, container: &str, question: &[u8], way: Way) -> Outcome {
    let Ok(message) = Message::from_vec(question) else {
        return refusal(question, ResponseCode::FormErr).map_or(Outcome::Ignore, Outcome::Answer);
    };
    if message.metadata.message_type != MessageType::Query {
        return Outcome::Ignore;
    }
    let refuse = |code| refusal(question, code).map_or(Outcome::Ignore, Outcome::Answer);
    if message.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    let [query] = message.queries.as_slice() else { return refuse(ResponseCode::FormErr) };
    let encoded = |records| encode(&message, query, records, way);
    match known(book, container, query) {
        Known::All(records) => {
            encoded(records).map_or_else(|| refuse(ResponseCode::ServFail), Outcome::Answer)
        }
        Known::Name => Outcome::Forward(encoded(Vec::new())),
        Known::Nothing => Outcome::Forward(None),
    }
}

/// The answer to what can't be answered; none if not even a header can be made out.
pub(super) fn refusal(question: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes(*question.first_chunk()?);
    // Who replies to replies never ends.
    if question.get(2)? & 0x80 != 0 {
        return None;
    }
    let mut reply = match Message::from_vec(question) {
        Ok(message) => respond(&message),
        Err(_) => Message::response(id, OpCode::Query),
    };
    reply.metadata.response_code = code;
    reply.to_vec().ok()
}

/// What the book has on a question.
enum Known {
    /// The answer.
    All(Vec<Record>),
    /// That the name is there. Of what is asked, others may know.
    Name,
    Nothing,
}

fn known(book: &Book, container: &str, query: &Query) -> Known {
    if query.query_class != DNSClass::IN {
        return Known::Nothing;
    }
    let name = &query.name;
    let record = |data| Record::from_rdata(name.clone(), LIFETIME, data);
    if query.query_type == RecordType::PTR {
        let who = reversed(name).and_then(|address| book.name_of(container, address));
        let who = who.and_then(|who| Name::from_ascii(format!("{who}.")).ok());
        return who.map_or(Known::Nothing, |who| Known::All(vec![record(RData::PTR(PTR(who)))]));
    }
    let text = name.to_ascii();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let wants_address = matches!(query.query_type, RecordType::A | RecordType::AAAA);
    let Some(addresses) = book.addresses(container, text) else {
        let keeps = book.asker(container).is_some_and(|asker| asker.keeps_single_words);
        // An answer that says nothing makes who asks go on with the search domains.
        let is_kept = wants_address && keeps && !text.contains('.');
        return if is_kept { Known::All(Vec::new()) } else { Known::Nothing };
    };
    match query.query_type {
        RecordType::A | RecordType::AAAA => {
            let wanted = |address| match (query.query_type, address) {
                (RecordType::A, IpAddr::V4(address)) => Some(RData::A(A(address))),
                (RecordType::AAAA, IpAddr::V6(address)) => Some(RData::AAAA(AAAA(address))),
                _ => None,
            };
            let data = addresses.into_iter().filter_map(wanted).collect();
            Known::All(in_turns(data).into_iter().map(record).collect())
        }
        // Mail goes to the address itself then.
        RecordType::MX => Known::All(Vec::new()),
        _ => Known::Name,
    }
}

/// The address that a name for looking names up stands for.
fn reversed(name: &Name) -> Option<IpAddr> {
    let address = name.parse_arpa_name().ok()?.addr();
    let labels = if address.is_ipv4() { 4 } else { 32 };
    (name.num_labels() == labels + 2).then_some(address)
}

/// Another first each time, so that each gets its share.
fn in_turns<T>(mut all: Vec<T>) -> Vec<T> {
    if all.len() > 1 {
        let first = rand::random_range(0..all.len());
        all.rotate_left(first);
    }
    all
}

fn respond(message: &Message) -> Message {
    let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
    reply.metadata.recursion_desired = message.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_queries(message.queries.iter().cloned());
    if message.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_DATAGRAM);
        reply.set_edns(edns);
    }
    reply
}

/// The answer; in a datagram, as much of it as fits.
fn encode(message: &Message, query: &Query, records: Vec<Record>, way: Way) -> Option<Vec<u8>> {
    let mut reply = respond(message);
    reply.queries = vec![query.clone()];
    let most = match way {
        Way::Tcp => u16::MAX,
        Way::Udp => message.max_payload().min(LONGEST_ANSWER),
    };
    let room = usize::from(most).saturating_sub(reply.to_vec().ok()?.len());
    reply.add_answers(records);
    let bytes = reply.to_vec().ok()?;
    if bytes.len() <= usize::from(most) {
        return Some(bytes);
    }
    reply.answers.truncate(room / LARGEST_RECORD);
    reply.metadata.truncation = true;
    reply.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::super::words::{Asker, Place};
    use super::*;
    use crate::network::endpoint::Standpoint;

    /// `web` at 40 addresses and `db` at one, on one network.
    fn book() -> Book {
        let mut book = Book::default();
        for last in 1..=41 {
            let name = if last == 41 { "db" } else { "web" };
            let place = Place {
                network: "n".to_owned(),
                network_name: "front".to_owned(),
                addresses: vec![
                    [10, 0, 0, last].into(),
                    [0xfd00, 0, 0, 0, 0, 0, 0, last.into()].into(),
                ],
                names: vec![name.to_owned()],
                links: [].into(),
            };
            book.put(Asker {
                container: format!("c{last}"),
                places: vec![place],
                name_servers: Vec::new(),
                standpoint: Standpoint::Host,
                keeps_single_words: last == 2,
            });
        }
        book
    }

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(77, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn reply(message: &Message, way: Way) -> Message {
        match answer(&book(), "c1", &message.to_vec().unwrap(), way) {
            Outcome::Answer(bytes) => Message::from_vec(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_and_names_are_told() {
        let told = reply(&question("db.", RecordType::A), Way::Udp);
        assert_eq!(told.metadata.id, 77);
        assert!(told.metadata.recursion_available && told.metadata.recursion_desired);
        let [record] = told.answers.as_slice() else { panic!("{told:?}") };
        assert_eq!(record.data, RData::A(A(Ipv4Addr::new(10, 0, 0, 41))));
        let told = reply(&question("41.0.0.10.in-addr.arpa.", RecordType::PTR), Way::Udp);
        let [record] = told.answers.as_slice() else { panic!("{told:?}") };
        assert_eq!(record.data, RData::PTR(PTR(Name::from_ascii("db.front.").unwrap())));
        let six = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 41);
        let told = reply(&question("DB.Front.", RecordType::AAAA), Way::Udp);
        let [record] = told.answers.as_slice() else { panic!("{told:?}") };
        assert_eq!(record.data, RData::AAAA(AAAA(six)));
        assert_eq!(record.name.to_ascii(), "DB.Front.", "as it was asked");
        let reversed = Name::from(IpAddr::V6(six));
        let told = reply(&question(&reversed.to_ascii(), RecordType::PTR), Way::Udp);
        assert_eq!(told.answers[0].data, RData::PTR(PTR(Name::from_ascii("db.front.").unwrap())));
        let told = reply(&question("db.", RecordType::MX), Way::Udp);
        assert_eq!(told.metadata.response_code, ResponseCode::NoError);
        assert!(told.answers.is_empty());
    }

    #[test]
    fn of_who_is_known_others_may_know_more() {
        for kind in [RecordType::TXT, RecordType::SRV, RecordType::ANY, RecordType::HTTPS] {
            let question = question("db.", kind).to_vec().unwrap();
            let outcome = answer(&book(), "c1", &question, Way::Udp);
            let Outcome::Forward(Some(empty)) = outcome else { panic!("{outcome:?}") };
            let empty = Message::from_vec(&empty).unwrap();
            assert_eq!(empty.metadata.response_code, ResponseCode::NoError);
            assert!(empty.answers.is_empty());
        }
    }

    #[test]
    fn single_words_stay_where_search_domains_come_first() {
        let ask = |container, name, kind| {
            let question = question(name, kind).to_vec().unwrap();
            answer(&book(), container, &question, Way::Udp)
        };
        assert!(matches!(ask("c2", "nobody.", RecordType::A), Outcome::Answer(_)));
        assert!(matches!(ask("c2", "nobody.org.", RecordType::A), Outcome::Forward(None)));
        assert!(matches!(ask("c2", "nobody.", RecordType::NS), Outcome::Forward(None)));
        assert!(matches!(ask("c1", "nobody.", RecordType::A), Outcome::Forward(None)));
    }

    #[test]
    fn what_nobody_is_called_is_for_others() {
        for (name, kind) in [
            ("nobody.", RecordType::A),
            ("db.other.", RecordType::A),
            ("99.0.0.10.in-addr.arpa.", RecordType::PTR),
            ("0.0.10.in-addr.arpa.", RecordType::PTR),
        ] {
            let question = question(name, kind).to_vec().unwrap();
            assert_eq!(
                answer(&book(), "c1", &question, Way::Udp),
                Outcome::Forward(None),
                "{name}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_off_and_told_on_a_connection() {
        let plain = question("web.", RecordType::A);
        let cut = reply(&plain, Way::Udp);
        assert!(cut.metadata.truncation && !cut.answers.is_empty() && cut.answers.len() < 40);
        assert_eq!(reply(&plain, Way::Tcp).answers.len(), 40);
        let mut roomy = plain;
        roomy.set_edns(Edns::new()).edns.as_mut().unwrap().set_max_payload(4096);
        let whole = reply(&roomy, Way::Udp);
        assert_eq!(whole.answers.len(), 40);
        assert_eq!(whole.edns.unwrap().max_payload(), LARGEST_DATAGRAM);
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let mut answered = question("db.", RecordType::A);
        answered.metadata.message_type = MessageType::Response;
        let bytes = answered.to_vec().unwrap();
        assert_eq!(answer(&book(), "c1", &bytes, Way::Udp), Outcome::Ignore);
        assert_eq!(answer(&book(), "c1", &[], Way::Udp), Outcome::Ignore);
        let mut update = question("db.", RecordType::A);
        update.metadata.op_code = OpCode::Update;
        assert_eq!(reply(&update, Way::Udp).metadata.response_code, ResponseCode::NotImp);
    }

    proptest! {
        #[test]
        fn fuzz_any_bytes_are_answered_or_not(bytes: Vec<u8>, start in 0usize..24) {
            let mut damaged = question("db.", RecordType::A).to_vec().unwrap();
            damaged.truncate(start);
            damaged.extend(&bytes);
            for question in [bytes, damaged] {
                if let Outcome::Answer(reply) = answer(&book(), "c1", &question, Way::Udp) {
                    prop_assert!(Message::from_vec(&reply).is_ok());
                    prop_assert_eq!(&reply[..2], &question[..2]);
                }
            }
        }
    }
}
