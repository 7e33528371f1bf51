//! `[server]`: the listener and what clients must know about it.

use crate::config::{
    table::declare,
    value::{HttpOrigin, HttpUrl, Size},
};
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf};

declare! {
    /// Where keywayd listens, and how clients reach it.
    Server {
        /// Address and port to listen on. `0.0.0.0:8490` and `[::]:8490` mean every interface.
        listen: SocketAddr = "127.0.0.1:8490";
        /// A Unix socket to listen on as well, for a reverse proxy on the same machine. Its file
        /// can be used by the user and the group that run keywayd; whoever can use it is believed
        /// what `X-Forwarded-For` says, as if named in `trusted_proxies`.
        unix_socket: Option<PathBuf>, like "/run/keywayd/http.sock";
        /// The address that clients use, from which links and redirects are made. It follows
        /// `listen` unless given, and must be given when `listen` is not a loopback address.
        public_url: HttpOrigin = "http://127.0.0.1:8490";
        /// Allows plain HTTP on an address that other machines reach. Secrets and credentials
        /// then cross the network readable by everyone on the way.
        insecure_http: bool = false;
        /// Addresses and networks of the proxies in front of keywayd, such as `10.0.0.0/8`. Only
        /// from them is `X-Forwarded-For` believed.
        trusted_proxies: Vec<IpNet> = [];
        /// Other web sites whose pages may call the API with the visitor's session, such as
        /// `https://app.example.org`. `*` is not possible.
        allowed_origins: Vec<HttpOrigin> = [];
        /// Other web sites that signing in and connecting a service may return to.
        redirect_origins: Vec<HttpOrigin> = [];
        /// Largest request body.
        body_limit_bytes: Size = "1 MiB", from "1 KiB" to "64 MiB";
        /// Largest request body of a push, which carries a whole environment.
        push_body_limit_bytes: Size = "8 MiB", from "1 KiB" to "256 MiB";
        /// Seconds within which every request is answered. Keyway clients give up after 30.
        request_timeout_secs: u32 = 25, from 1 to 600;
        /// Seconds that requests in progress get to finish when keywayd is stopped.
        shutdown_grace_secs: u32 = 20, from 0 to 600;
        /// Most connections at a time; further ones wait.
        max_connections: u32 = 4096, from 1 to 1000000;
        /// What the `type` of an error starts with.
        errors_base_url: HttpUrl = "https://keyway.sh/errors/";
    }
    tables {
        /// Serve HTTPS without a proxy.
        tls: Tls;
    }
}

impl Server {
    /// Whether other machines reach this server by plain HTTP though nobody asked for it.
    #[must_use]
    pub fn is_plain_off_loopback(&self) -> bool {
        let loopback = self.listen.ip().to_canonical().is_loopback();
        let asked_for = self.insecure_http || !self.trusted_proxies.is_empty();
        !loopback && !asked_for && self.tls.cert.is_none()
    }
}

declare! {
    /// `[server.tls]`: HTTPS without a proxy.
    Tls {
        /// File with the certificate and its chain, PEM. It and the key are read again when they
        /// change, or on SIGHUP; connections stay open.
        cert: Option<PathBuf>, like "/etc/keywayd/tls/fullchain.pem";
        /// File with the certificate's private key, PEM.
        key: Option<PathBuf>, like "/etc/keywayd/tls/privkey.pem";
        /// Address and port for plain HTTP that only redirects to `public_url`.
        redirect_listen: Option<SocketAddr>, like "0.0.0.0:80";
        /// Tells browsers to use nothing but HTTPS for this host, for a year from their last visit.
        hsts: bool = true;
    }
}
