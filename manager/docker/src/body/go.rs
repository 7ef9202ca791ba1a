//! JSON as Go reads it: the names of fields in any case, `null` for what is not given, and of what
//! is given twice the last.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// A value that is read as Go would.
pub(super) struct Go(pub(super) Value);

impl Go {
    /// Says that this is not what the visitor wants.
    fn is_not<'de>(&self, wanted: &impl Visitor<'de>) -> Error {
        let found = match &self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => Unexpected::Unsigned(number),
                (_, Some(number), _) => Unexpected::Signed(number),
                (.., number) => Unexpected::Float(number.unwrap_or_default()),
            },
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        Error::invalid_type(found, wanted)
    }
}

/// Numbers, for which `null` stands for 0.
macro_rules! numbers {
    ($($method:ident => $visit:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Null => visitor.$visit(Default::default()),
                value => value.$method(visitor),
            }
        }
    )*};
}

/// Texts, for which `null` stands for the empty one.
macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Null => visitor.visit_str(""),
                value => value.$method(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Go {
    type Error = Error;

    numbers! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64,
    }

    texts! { deserialize_str deserialize_string }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(list) => {
                let mut list = SeqDeserializer::new(list.into_iter().map(Go));
                let value = visitor.visit_seq(&mut list)?;
                list.end()?;
                Ok(value)
            }
            Value::Object(map) => visit(map, visitor),
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => Go(Value::Array(Vec::new())).deserialize_any(visitor),
            Value::Array(_) => self.deserialize_any(visitor),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visit(Map::new(), visitor),
            Value::Object(map) => visit(map, visitor),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visit(spelled(map, fields), visitor),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }
}

/// The map with the names of its fields as we write them.
fn spelled(map: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let spell = |(name, value): (String, Value)| {
        let is_ours = fields.contains(&name.as_str());
        let ours = fields.iter().find(|field| !is_ours && field.eq_ignore_ascii_case(&name));
        (ours.map_or(name, |field| (*field).to_owned()), value)
    };
    map.into_iter().map(spell).collect()
}

fn visit<'de, V: Visitor<'de>>(map: Map<String, Value>, visitor: V) -> Result<V::Value, Error> {
    let mut fields = MapDeserializer::new(map.into_iter().map(|(name, value)| (name, Go(value))));
    let value = visitor.visit_map(&mut fields)?;
    fields.end()?;
    Ok(value)
}

impl IntoDeserializer<'_, Error> for Go {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use crate::body::{parse, parse_noticing};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Outer {
        image: String,
        tty: bool,
        count: Option<i64>,
        list: Vec<String>,
        labels: BTreeMap<String, String>,
        host_config: Inner,
        #[serde(alias = "AuxAddress")]
        auxiliary: Option<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Inner {
        memory: u32,
    }

    fn read(text: &str) -> Outer {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn fields_are_found_in_any_case_and_keys_are_left_alone() {
        let read = read(
            r#"{"image":"x","hostCONFIG":{"memory":3},"LABELS":{"Image":"a","image":"b"},
                "auxaddress":"y"}"#,
        );
        assert_eq!((read.image.as_str(), read.host_config.memory), ("x", 3));
        assert_eq!((read.labels["Image"].as_str(), read.labels["image"].as_str()), ("a", "b"));
        assert_eq!(read.auxiliary.as_deref(), Some("y"));
    }

    #[test]
    fn null_is_nothing_and_the_last_one_counts() {
        let nothing = r#"{"Image":null,"Tty":null,"Count":null,"List":null,"Labels":null,
            "HostConfig":null}"#;
        assert_eq!(read(nothing), Outer::default());
        assert_eq!(read("null"), Outer::default());
        let empty = read(r#"{"List":[null],"Labels":{"a":null},"HostConfig":{"Memory":null}}"#);
        assert_eq!((empty.list[0].as_str(), empty.labels["a"].as_str()), ("", ""));
        assert_eq!(read(r#"{"Image":"a","Image":"b"}"#).image, "b");
        assert_eq!(read(r#"{"Image":"a","image":"b"}"#).image, "b");
    }

    #[test]
    fn what_is_of_another_type_is_named() {
        let wrong = |text: &str| parse::<Outer>(text.as_bytes()).unwrap_err().to_string();
        for (text, field) in [
            (r#"{"image":1}"#, "Image"),
            (r#"{"Count":1e3}"#, "Count"),
            (r#"{"Count":99999999999999999999}"#, "Count"),
            (r#"{"hostconfig":{"Memory":-1}}"#, "HostConfig.Memory"),
            (r#"{"hostconfig":[3]}"#, "HostConfig"),
            (r#"{"List":{}}"#, "List"),
            (r#"{"Labels":[]}"#, "Labels"),
        ] {
            let wrong = wrong(text);
            assert!(wrong.starts_with(&format!("invalid request body: {field}: ")), "{wrong}");
        }
        assert!(wrong(r#"["x"]"#).contains("invalid type: sequence"));
    }

    #[test]
    fn what_nobody_reads_is_passed_over_and_noticed() {
        let text = br#"{"Imag":1,"hostConfig":{"memry":{"a":1}}}"#;
        let (read, unknown) = parse_noticing::<Outer>(text).unwrap();
        assert_eq!(read, Outer::default());
        assert_eq!(unknown, ["HostConfig.memry", "Imag"]);
    }
}
