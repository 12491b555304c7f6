//! The first two frames of a connection. Sans-I/O: bytes out, bytes in, and then what was agreed.

use crate::error::{Error, Result};
use crate::frame::{first_frame, FrameDecoder};
use crate::hex::{from_hex, to_hex};
use crate::message::{goes_to_client, Command, Event, Handshake, HandshakeAck, Transport};
use crate::signing::{new_nonce, SessionKeys, Signer, SigningKey, NONCE_BYTES};

/// The longest payload of a handshake's frame.
pub const MAX_HANDSHAKE_BYTES: usize = 64 << 10;
const VERSION: u32 = 1;
const SIGN: &str = "sign";

/// What a client asks for in its first frame.
#[derive(Debug)]
pub struct Offer {
    handshake: Handshake,
    signing: Option<(SigningKey, [u8; NONCE_BYTES])>,
}

/// What the two agreed on, and how the connection goes on.
#[derive(Debug)]
pub struct Agreed {
    /// The daemon's answer.
    pub ack: HandshakeAck,
    /// Reads what comes by the socket from here on.
    pub decoder: FrameDecoder,
    /// Reads what comes by the ring.
    pub ring_decoder: FrameDecoder,
    /// Signs what is sent from here on; `None` on a connection without signatures.
    pub signer: Option<Signer>,
    /// How many of the bytes were the answer; what is behind them goes to `decoder`.
    pub taken: usize,
}

impl Offer {
    /// By `transport` if there is a choice, with these abilities; with a key also to sign all frames.
    ///
    /// # Errors
    /// [`Error::Config`] if the system has no randomness for a nonce.
    pub fn new(
        client: &str,
        transport: Transport,
        features: &[&str],
        key: Option<SigningKey>,
    ) -> Result<Self> {
        let mut handshake = Handshake {
            versions: vec![VERSION],
            client: client.into(),
            transport,
            features: features.iter().map(|&feature| feature.into()).collect(),
            nonce: None,
            key: None,
        };
        let signing = key.map(|key| Ok((key, new_nonce()?))).transpose()?;
        if let Some((key, nonce)) = &signing {
            handshake.features.push(SIGN.into());
            handshake.nonce = Some(to_hex(nonce));
            handshake.key = Some(key.name().into());
        }
        Ok(Self { handshake, signing })
    }

    /// The frame to send.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a client's name that no frame can hold.
    pub fn frame(&self) -> Result<Vec<u8>> {
        Command::Handshake(&self.handshake).frame(0)
    }

    /// What was agreed, once the daemon's answer is whole in `bytes`, all that came so far.
    ///
    /// # Errors
    /// [`Error::HandshakeRefused`] with the daemon's reason, or if its answer is not one to this offer; the errors of
    /// frames and payloads.
    pub fn answer(&self, bytes: &[u8]) -> Result<Option<Agreed>> {
        let may_sign = self.signing.is_some();
        let Some((frame, taken)) = first_frame(bytes, goes_to_client, MAX_HANDSHAKE_BYTES, may_sign)? else {
            return Ok(None);
        };
        let ack = match Event::decode(frame.number, &frame.payload)? {
            Event::HandshakeAck(ack) => ack,
            Event::ProtocolFailure { message, .. } => {
                return refused(format!("the daemon refused: {message}"))
            }
            other => return refused(format!("expected a handshake's acknowledgement, got {}", other.kind())),
        };
        if ack.version != u64::from(VERSION) {
            return refused(format!("expected version {VERSION}, which was offered, got {}", ack.version));
        }
        if ack.transport == Transport::Shm
            && (self.handshake.transport != Transport::Shm || ack.ring.is_none())
        {
            return refused("the daemon grants a ring that was not asked for, or without its size".into());
        }
        let Some((key, nonce)) = &self.signing else {
            let new = || FrameDecoder::new(goes_to_client);
            return Ok(Some(Agreed { ack, decoder: new(), ring_decoder: new(), signer: None, taken }));
        };
        if !ack.features.iter().any(|feature| feature == SIGN) {
            return refused("the daemon does not sign, and this client is to talk to one that does".into());
        }
        let digits = ack.nonce.as_deref().and_then(from_hex);
        let Some(theirs) = digits.and_then(|digits| <[u8; NONCE_BYTES]>::try_from(digits).ok()) else {
            return refused(format!("expected the daemon's nonce of {} digits, got none", 2 * NONCE_BYTES));
        };
        let said = Command::Handshake(&self.handshake).payload();
        let keys = SessionKeys::derive(key.secret(), nonce, &theirs, said.as_bytes());
        let mut decoder = FrameDecoder::signed(goes_to_client, &keys.daemon);
        let mut proved = Vec::new();
        if decoder.feed(&bytes[..taken], &mut proved).is_err() || proved.len() != 1 {
            let name = key.name();
            return refused(format!(
                "the daemon's signature is wrong: it has another secret of the name {name:?}"
            ));
        }
        let ring_decoder = FrameDecoder::signed(goes_to_client, &keys.ring);
        Ok(Some(Agreed { ack, decoder, ring_decoder, signer: Some(Signer::new(&keys.client)), taken }))
    }
}

fn refused<T>(why: String) -> Result<T> {
    Err(Error::HandshakeRefused(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{encode, flag};
    use crate::json::Value;

    fn ack(members: &str) -> Vec<u8> {
        encode(0x0011, flag::RESPONSE, 0, format!(r#"{{"type":"handshake_ack"{members}}}"#).as_bytes())
            .unwrap()
    }

    fn refusal(offer: &Offer, bytes: &[u8]) -> String {
        match offer.answer(bytes) {
            Err(Error::HandshakeRefused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let offer = Offer::new("test", Transport::Socket, &["drain"], None).unwrap();
        let bytes = [ack(r#","features":["drain"]"#), b"CPAL".to_vec()].concat();
        for end in 0..bytes.len() - 4 {
            assert!(offer.answer(&bytes[..end]).unwrap().is_none());
        }
        let agreed = offer.answer(&bytes).unwrap().unwrap();
        assert_eq!((agreed.ack.features, agreed.taken), (vec!["drain".into()], bytes.len() - 4));
    }

    #[test]
    fn what_does_not_answer_the_offer_is_refused() {
        let offer = Offer::new("test", Transport::Socket, &[], None).unwrap();
        assert!(refusal(&offer, &ack(r#","version":2"#)).contains("got 2"));
        assert!(
            refusal(&offer, &ack(r#","transport":"shm","ring":{"capacity":1}"#)).contains("not asked for")
        );
        let goodbye = encode(0x0012, 0, 0, br#"{"type":"disconnect"}"#).unwrap();
        assert!(refusal(&offer, &goodbye).contains("got a goodbye"));
        let shm = Offer::new("test", Transport::Shm, &[], None).unwrap();
        assert!(refusal(&shm, &ack(r#","transport":"shm""#)).contains("without its size"));
    }

    #[test]
    fn who_is_to_sign_talks_to_nobody_who_does_not() {
        let secret = [7; 32];
        let key = SigningKey::new("laptop", secret).unwrap();
        let offer = Offer::new("test", Transport::Socket, &[], Some(key)).unwrap();
        assert!(refusal(&offer, &ack("")).contains("does not sign"));
        let nonce = "1f".repeat(32);
        let members = format!(r#","features":["sign"],"nonce":"{nonce}""#);
        let unsigned = ack(&members);
        assert!(refusal(&offer, &unsigned).contains("signature is wrong"));
        assert!(refusal(&offer, &ack(r#","features":["sign"],"nonce":"1f""#)).contains("nonce of 64 digits"));

        let said = Value::parse(&offer.frame().unwrap()[24..]).unwrap();
        let ours = from_hex(said.get("nonce").unwrap().as_str().unwrap()).unwrap();
        let keys = SessionKeys::derive(
            &secret,
            &ours.try_into().unwrap(),
            &[0x1f; 32],
            &offer.frame().unwrap()[24..],
        );
        let mut signed = unsigned.clone();
        Signer::new(&keys.daemon).sign(&mut signed);
        let agreed = offer.answer(&signed).unwrap().unwrap();
        assert!(agreed.signer.is_some() && agreed.taken == signed.len());
        for bit in 0..signed.len() * 8 {
            let mut bent = signed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(offer.answer(&bent), Ok(Some(_))), "bit {bit}");
        }
        let plain = Offer::new("test", Transport::Socket, &[], None).unwrap();
        assert_eq!(plain.answer(&signed).unwrap_err().name(), Some("BadFlags"));
    }
}
