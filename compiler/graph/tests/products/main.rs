//! CONV_2D and FULLY_CONNECTED of every element type, lowered for several machines, proved and interpreted, against plain loops.

mod bad;
mod convolutions;
mod fully_connected;
mod reference;
#[allow(dead_code)]
#[path = "../windows/support.rs"]
mod support;
