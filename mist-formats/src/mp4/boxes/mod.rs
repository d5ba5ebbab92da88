//! Reading boxes.
