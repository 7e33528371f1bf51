//! Whatever is there arrives elsewhere as it was, in pieces of any size.

use super::*;
