//! What a pull answers, read by the readers that people use. Each must get every value
//! but those it cannot, exactly those, and none may find a variable that is not there.

mod readers;

use keywayd::domain::dotenv;
use readers::limits::{docker_cannot, dotenv_npm_cannot, naive_cannot, python_cannot};
use readers::values::{adversarial, realistic};
use readers::{
    OTHER_JAVASCRIPT, Variables, read_with_docker_rules, read_with_javascript, read_with_node,
    read_with_old_python, read_with_python,
};

/// Files and what they were made from. Between any two values stands a plain one, which
/// every reader must get: it shows what a value does to its neighbours.
struct Cases {
    pairs: Vec<Variables>,
    contents: Vec<String>,
}

const GUARD: &str = "guard";

fn cases(values: impl IntoIterator<Item = String>, per_file: usize) -> Cases {
    let values: Vec<_> = values.into_iter().collect();
    let file = |values: &[String]| -> Variables {
        let pair = |(at, value): (usize, &String)| {
            [(format!("K{at}"), value.clone()), (format!("K{at}_GUARD"), GUARD.to_owned())]
        };
        values.iter().enumerate().flat_map(pair).collect()
    };
    let pairs: Vec<_> = values.chunks(per_file).map(file).collect();
    let encode = |pairs: &Variables| {
        let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        dotenv::encode(pairs).expose().to_owned()
    };
    Cases { contents: pairs.iter().map(encode).collect(), pairs }
}

impl Cases {
    /// Nothing was added, and no plain value is changed or gone.
    fn assert_safe(&self, reader: &str, read: &[Variables]) {
        for ((pairs, content), read) in self.pairs.iter().zip(&self.contents).zip(read) {
            for key in read.keys() {
                assert!(pairs.contains_key(key), "{reader} finds {key:?} in\n{content}\n{read:#?}");
            }
            for (key, value) in pairs.iter().filter(|(_, value)| *value == GUARD) {
                assert_eq!(
                    read.get(key),
                    Some(value),
                    "{reader} reads {key} wrongly in\n{content}\n{read:#?}"
                );
            }
        }
    }

    /// Safe, and every value is right unless `cannot` says otherwise; then it is wrong.
    fn assert_exact(&self, reader: &str, read: &[Variables], cannot: impl Fn(&str) -> bool) {
        self.assert_safe(reader, read);
        for ((pairs, content), read) in self.pairs.iter().zip(&self.contents).zip(read) {
            for (key, value) in pairs {
                let right = read.get(key) == Some(value);
                assert_eq!(
                    right,
                    !cannot(value),
                    "{reader} reads {key}, which is {value:?}, in\n{content}\n{read:#?}"
                );
            }
        }
    }

    fn assert_all(&self) {
        let naive: Vec<_> = self.contents.iter().map(|content| dotenv::naive::read(content)).collect();
        self.assert_exact("naive", &naive, naive_cannot);
        for (pairs, read) in self.pairs.iter().zip(&naive) {
            for (key, value) in pairs {
                assert_eq!(read[key], dotenv::naive_reading(value).expose(), "{value:?}");
            }
        }
        self.assert_exact("docker", &read_with_docker_rules(&self.contents), |value| docker_cannot(3, value));
        if let Some(read) = read_with_node(&self.contents) {
            self.assert_exact("dotenv", &read, dotenv_npm_cannot);
        }
        if let Some(read) = read_with_python(&self.contents) {
            self.assert_exact("python-dotenv", &read, python_cannot);
        }
        if let Some(read) = read_with_old_python(&self.contents) {
            self.assert_safe("python-dotenv (old)", &read);
        }
        for reader in OTHER_JAVASCRIPT {
            if let Some(read) = read_with_javascript(reader, &self.contents) {
                self.assert_safe(reader, &read);
            }
        }
    }
}

#[test]
fn realistic_values() {
    cases(realistic(), 1).assert_all();
    cases(realistic(), 7).assert_all();
}

#[test]
fn large_values() {
    let certificates = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".repeat(1_000);
    cases([certificates, "x".repeat(60_000), "y #".repeat(20_000)], 1).assert_all();
}

#[test]
fn docker_refuses_a_file_with_a_line_of_64_kib() {
    let fits = cases(["x".repeat(65_532)], 1);
    assert_eq!(read_with_docker_rules(&fits.contents), fits.pairs);
    assert!(!docker_cannot(2, &"x".repeat(65_532)));
    let too_long = cases(["x".repeat(65_533)], 1);
    assert_eq!(read_with_docker_rules(&too_long.contents), [Variables::new()]);
    assert!(docker_cannot(2, &"x".repeat(65_533)));
}

#[test]
fn adversarial_values() {
    let values = adversarial(30_000);
    cases(values, 5).assert_all();
}
