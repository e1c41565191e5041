//! A connection to a port of a job.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpStream;

use super::channels::{Activity, Client, EndOfInput, pass_input, pass_output, start};
use super::container;
use super::frames::{FrameReader, FrameWriter};
use super::registry::{Begun, Place};
use awsb_model::session_frames::Frame;

/// How long a connection to a port may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects the client of a session to the port, until both have ended.
///
/// # Errors
/// When there is no connection, or the job ends: in words for the client.
pub async fn run(
    begun: &Begun,
    port: u16,
    place: &Place,
    mut reader: FrameReader,
    writer: FrameWriter,
) -> Result<(), String> {
    if start(begun, &mut reader).await.is_none() {
        return Ok(());
    }
    let address = match place {
        Place::Host(..) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Place::Container(name) => address_of_container(name).await?,
    };
    let connected = TcpStream::connect(SocketAddr::new(address, port));
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connected).await {
        Ok(connected) => connected.map_err(|e| format!("connecting to {address}:{port}: {e}"))?,
        Err(_) => return Err(format!("connecting to {address}:{port}: no answer")),
    };
    let _ = stream.set_nodelay(true);
    let (from_port, to_port) = stream.into_split();
    let (mut pieces, mut control, taken) = Client::reading(reader).parts();
    let activity = Activity::default();
    let mut input = pin!(pass_input(&mut pieces, &taken, to_port, EndOfInput::Closed, &writer));
    let mut output = pin!(async {
        pass_output(from_port, Frame::Output, &activity, &writer).await?;
        writer.send(&Frame::EndOfOutput).await
    });
    let (mut has_input, mut has_output) = (true, true);
    while has_input || has_output {
        tokio::select! {
            () = &mut input, if has_input => has_input = false,
            sent = &mut output, if has_output => match sent {
                Ok(()) => has_output = false,
                Err(_) => return Ok(()),
            },
            // No frame of this kind has a meaning here.
            wanted = control.recv() => if wanted.is_none() { return Ok(()) },
            () = begun.server_stop() => return Ok(()),
            () = begun.attempt_end() => return Err("the job has ended".to_owned()),
        }
    }
    let _ = writer.send(&Frame::Exit(0)).await;
    Ok(())
}

/// The address of a container in the network of the home.
async fn address_of_container(name: &str) -> Result<IpAddr, String> {
    let found = container::find(name).await?;
    let networks = found.container.network_settings.and_then(|settings| settings.networks);
    let addresses =
        networks.into_iter().flatten().filter_map(|(_, network)| network.ip_address?.parse().ok());
    addresses.into_iter().next().ok_or_else(|| "the container of the job has no address".to_owned())
}
