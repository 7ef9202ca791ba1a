//! Secrets of a client.

use std::collections::BTreeMap;

use tare_proto::builds::moby::buildkit::secrets::v1::GetSecretRequest;
use tare_proto::builds::moby::buildkit::secrets::v1::secrets_client::SecretsClient;
use tonic::Code;

use super::Session;
use super::connection::origin;
use super::failure::failed;
use crate::error::Result;

/// Bytes of a secret; clients have no larger ones.
const LARGEST: usize = 1 << 20;

/// The secret `id`, if the client has it.
///
/// # Errors
/// If the client fails, or goes.
pub async fn secret(session: &Session, id: &str) -> Result<Option<Vec<u8>>> {
    let mut client =
        SecretsClient::with_origin(session.link(), origin()).max_decoding_message_size(LARGEST);
    let request = GetSecretRequest { id: id.to_owned(), annotations: BTreeMap::new() };
    match client.get_secret(request).await {
        Ok(answer) => Ok(Some(answer.into_inner().data)),
        Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => Ok(None),
        Err(status) => Err(failed(session, &status)),
    }
}
