//! {{name}}: sends long prompts to the target "large".
#![no_std]
#[macro_use]
mod wedge1;
use wedge1::*;

struct LongPrompts;

impl Policy for LongPrompts {
    fn init(_config: &'static [u8]) -> Result<Self, Error> {
        Ok(LongPrompts)
    }

    fn request(&mut self, r: &Request, a: &mut Actions) -> Result<(), Error> {
        if r.prompt_tokens() > 2000 {
            a.target(b"large");
        }
        Ok(())
    }
}

wedge1!(LongPrompts);
wedge1_no_std!();
