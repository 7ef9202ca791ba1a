//! What is replied to a question for a name, as far as the book knows.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::book::Book;

/// Seconds for which an answer holds.
const LIFETIME: u32 = 600;
/// What we say that we take by UDP.
const LARGEST_DATAGRAM: u16 = 1232;

/// What is to be done about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This is the answer.
    Answer(Vec<u8>),
    /// Others may know.
    Forward,
    /// It is no question.
    Ignore,
}

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    match records(book, container, query) {
        Some(records) => encode(&message, query, records, way)
            .map_or_else(|| refuse(ResponseCode::ServFail), Outcome::Answer),
        None => Outcome::Forward,
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

/// The records that answer a question; none if it is about nobody in the book.
fn records(book: &Book, container: &str, query: &Query) -> Option<Vec<Record>> {
    if query.query_class != DNSClass::IN {
        return None;
    }
    let name = &query.name;
    if query.query_type == RecordType::PTR {
        let who = book.name_of(container, reversed(name)?)?;
        let who = Name::from_ascii(format!("{who}.")).ok()?;
        let record = Record::from_rdata(name.clone(), LIFETIME, RData::PTR(PTR(who)));
        return Some(vec![record]);
    }
    let text = name.to_ascii();
    let addresses = book.addresses(container, text.trim_end_matches('.'))?;
    match query.query_type {
        RecordType::A | RecordType::ANY => {
            let record = |address| Record::from_rdata(name.clone(), LIFETIME, RData::A(A(address)));
            Some(in_turns(addresses).into_iter().map(record).collect())
        }
        // It is somebody, but of that there is nothing to say.
        _ => Some(Vec::new()),
    }
}

/// The address that a name for looking names up stands for.
fn reversed(name: &Name) -> Option<Ipv4Addr> {
    match name.parse_arpa_name().ok()?.addr() {
        IpAddr::V4(address) if name.num_labels() == 6 => Some(address),
        _ => None,
    }
}

/// The addresses, another first each time, so that each gets its share.
fn in_turns(mut addresses: Vec<Ipv4Addr>) -> Vec<Ipv4Addr> {
    if addresses.len() > 1 {
        let first = rand::random_range(0..addresses.len());
        addresses.rotate_left(first);
    }
    addresses
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

fn encode(message: &Message, query: &Query, records: Vec<Record>, way: Way) -> Option<Vec<u8>> {
    let mut reply = respond(message);
    reply.queries = vec![query.clone()];
    reply.add_answers(records);
    let bytes = reply.to_vec().ok()?;
    if way == Way::Tcp || bytes.len() <= usize::from(message.max_payload()) {
        return Some(bytes);
    }
    reply.answers.clear();
    reply.metadata.truncation = true;
    reply.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::{Asker, Place};
    use super::*;

    /// `web` at 40 addresses and `db` at one, on one network.
    fn book() -> Book {
        let mut book = Book::default();
        for last in 1..=41 {
            let name = if last == 41 { "db" } else { "web" };
            let place = Place {
                network: "n".to_owned(),
                network_name: "front".to_owned(),
                address: Ipv4Addr::new(10, 0, 0, last),
                names: vec![name.to_owned()],
                links: [].into(),
            };
            let container = format!("c{last}");
            book.put(Asker { container, places: vec![place], name_servers: Vec::new() });
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
        for kind in [RecordType::AAAA, RecordType::MX, RecordType::TXT] {
            let told = reply(&question("db.", kind), Way::Udp);
            assert_eq!(told.metadata.response_code, ResponseCode::NoError);
            assert!(told.answers.is_empty());
        }
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
            assert_eq!(answer(&book(), "c1", &question, Way::Udp), Outcome::Forward, "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_off_and_told_on_a_connection() {
        let plain = question("web.", RecordType::A);
        let cut = reply(&plain, Way::Udp);
        assert!(cut.metadata.truncation && cut.answers.is_empty());
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
