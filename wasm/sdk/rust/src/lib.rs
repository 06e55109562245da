//! The SDK for Wedge policies as a crate; the module says all there is to say.
#![no_std]

pub mod wedge1;
pub use wedge1::*;
