//! HTTP: what is answered on the HTTP listener.

pub mod info;
