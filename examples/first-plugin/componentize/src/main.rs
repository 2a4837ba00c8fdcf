//! Makes a component of a module: `componentize MODULE COMPONENT`.

use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, component] = arguments.as_slice() else {
        return Err("expected two file names: the module, and the component to be made".into());
    };
    let mut encoder = wit_component::ComponentEncoder::default();
    let bytes = encoder.validate(true).module(&fs::read(module)?)?.encode()?;
    fs::write(component, bytes)?;
    Ok(())
}
