//! Environments as teams keep them: what one finds behind the `.env.example` of a dozen kinds of project. All
//! keys and passwords are made up.

use super::readers::Variables;

/// Each with a name.
pub(crate) fn samples() -> Vec<(&'static str, Variables)> {
    let fixed: [(&str, &[(&str, &str)]); 12] = [
        ("web application in Ruby", RUBY),
        ("web application in JavaScript", JAVASCRIPT),
        ("web application in Python", PYTHON),
        ("service account", SERVICE_ACCOUNT),
        ("cloud credentials", CLOUD),
        ("connection strings", CONNECTIONS),
        ("payments and webhooks", PAYMENTS),
        ("for the shell", SHELL),
        ("Windows", WINDOWS),
        ("in many languages", LANGUAGES),
        ("nearly nothing", EMPTY),
        ("rules and patterns", PATTERNS),
    ];
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut samples: Vec<(&str, Variables)> =
        fixed.into_iter().map(|(name, pairs)| (name, pairs.iter().map(owned).collect())).collect();
    samples.push(("keys", keys()));
    samples.push(("certificates", certificates()));
    samples
}

const RUBY: &[(&str, &str)] = &[
    ("RAILS_ENV", "production"),
    (
        "SECRET_KEY_BASE",
        "c3b1f7c0a9d84e5f8b6a2d1e0f9c8b7a6d5e4f3c2b1a0f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e0d9c8b7a6f5",
    ),
    (
        "DATABASE_URL",
        "postgresql://app:p%40ss%23w0rd@db.internal:5432/app_production?pool=5&sslmode=verify-full",
    ),
    ("REDIS_URL", "redis://:s3cr#t$pass@redis.internal:6379/0"),
    ("RAILS_MASTER_KEY", "8f14e45fceea167a5a36dedd4bea2543"),
    ("SMTP_PASSWORD", "it's a \"secret\""),
    ("ALLOWED_HOSTS", "example.com, www.example.com, *.example.com"),
    ("RAILS_LOG_TO_STDOUT", "true"),
    ("WEB_CONCURRENCY", "2"),
];

const JAVASCRIPT: &[(&str, &str)] = &[
    ("NODE_ENV", "production"),
    ("NEXT_PUBLIC_API_URL", "https://api.example.com/v1/?key=abc&fmt=json#top"),
    ("NEXTAUTH_SECRET", "k7Qm+/9fXyZ0123456789abcdefABCDEF/+=="),
    ("FEATURE_FLAGS", r#"{"newCheckout":true,"maxItems":50,"greeting":"it's #1"}"#),
    ("CSP", "default-src 'self'; img-src * data:; script-src 'self' 'nonce-abc'"),
    (
        "JWT_PUBLIC_KEY",
        "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\\n-----END PUBLIC KEY-----\\n",
    ),
    ("SENTRY_DSN", "https://0123456789abcdef@o123456.ingest.example.io/7654321"),
    ("TEMPLATE", "Hello ${name}, you have $count new messages"),
    ("GREETING", "`hello`"),
    ("lower_case_legacy", "still read by an old script"),
];

const PYTHON: &[(&str, &str)] = &[
    ("DJANGO_SECRET_KEY", "django-insecure-$%^&*(-=+)#@!2k#v7y!8z(x)"),
    ("DEBUG", "False"),
    ("ALLOWED_HOSTS", "['localhost', '127.0.0.1']"),
    ("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//"),
    ("EMAIL_SUBJECT_PREFIX", "[Example] "),
    ("ADMINS", "Ann <ann@example.com>, Bob \"Bobby\" <bob@example.com>"),
    ("PATH_TEMPLATE", "%(root)s/media/%(name)s"),
    ("LOGGING", "{'version': 1, 'handlers': {'console': {'class': 'logging.StreamHandler'}}}"),
    ("EXPANDED", "${HOME}/app:$PATH"),
];

const SERVICE_ACCOUNT: &[(&str, &str)] = &[
    ("GOOGLE_PROJECT", "example-project-123456"),
    (
        "GOOGLE_APPLICATION_CREDENTIALS_JSON",
        "{\n  \"type\": \"service_account\",\n  \"project_id\": \"example-project-123456\",\n  \
         \"private_key_id\": \"0123456789abcdef0123456789abcdef01234567\",\n  \
         \"private_key\": \"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\\n\
         VJTUt9Us8cKjMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNb\\n-----END PRIVATE KEY-----\\n\",\n  \
         \"client_email\": \"deploy@example-project-123456.iam.example.com\",\n  \
         \"token_uri\": \"https://oauth2.example.com/token\"\n}\n",
    ),
    (
        "GOOGLE_CREDENTIALS_ONE_LINE",
        r#"{"type":"service_account","private_key":"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"}"#,
    ),
    (
        "FIREBASE_CONFIG",
        r#"{"apiKey":"AIzaSyA-0123456789","authDomain":"example.firebaseapp.example","note":"50% off #today"}"#,
    ),
];

const CLOUD: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("AWS_SESSION_TOKEN", "FwoGZXIvYXdzEBYaDHqa0AP1/4lPEXAMPLE+tokens/With+Slashes/And=Equals=="),
    ("AZURE_CLIENT_SECRET", "abc~8Q.~dEfGhIjKlMnOpQrStUvWxYz0123456-_"),
    (
        "AZURE_STORAGE",
        "DefaultEndpointsProtocol=https;AccountName=example;AccountKey=Zm9vYmFyCg==;EndpointSuffix=core.example.net",
    ),
    ("OPENAI_API_KEY", "sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEF"),
    ("GITHUB_TOKEN", "ghp_0123456789abcdefghijklmnopqrstuvwxyz"),
    ("SLACK_WEBHOOK", "https://hooks.example.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"),
];

const CONNECTIONS: &[(&str, &str)] = &[
    (
        "SQLSERVER",
        "Server=tcp:db.example.com,1433;Database=app;User ID=sa;Password=P@ss;w0rd#1;Encrypt=True;",
    ),
    ("ORACLE", "(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=db)(PORT=1521))(CONNECT_DATA=(SID=ORCL)))"),
    ("MONGO", "mongodb+srv://user:p#ss@cluster0.example.net/db?retryWrites=true&w=majority"),
    ("MYSQL", "mysql://root:@127.0.0.1:3306/app"),
    ("KAFKA", "SASL_SSL://broker-1:9093,SASL_SSL://broker-2:9093"),
    (
        "JAAS",
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"user\" password=\"p'w\";",
    ),
    ("LDAP_DN", "cn=admin, ou=People, dc=example, dc=com # main"),
    ("PASSWORD_WITH_SPACES", "correct horse  battery staple"),
    ("PASSWORD_PADDED", "  leading and trailing  "),
];

const PAYMENTS: &[(&str, &str)] = &[
    ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_0123456789abcdef0123456789abcdef"),
    ("PRICE_LABEL", "$9.99/month (was $19.99)"),
    ("SIGNATURE_HEADER", "t=1492774577,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"),
    ("RECEIPT_FOOTER", "Thank you!\nExample Ltd.\n\"We're #1\"\n"),
    ("APPLE_PAY_DOMAIN", "{\"pspId\":\"0123\",\"version\":1,\"createdOn\":1700000000000}"),
];

const SHELL: &[(&str, &str)] = &[
    ("EXPORTED", "export PATH=/usr/local/bin:$PATH"),
    ("COMMAND", "$(cat /etc/passwd)"),
    ("BACKTICKS", "`id`"),
    ("PROMPT", "\\[\\e[32m\\]\\u@\\h\\[\\e[m\\]:\\w\\$ "),
    ("SEMICOLONS", "a; rm -rf / && echo \"done\" | tee 'log' > /dev/null 2>&1"),
    ("HISTORY", "!!:gs/old/new/"),
    ("TILDE", "~/.ssh/id_ed25519"),
    ("COMMENT", "# this is not a comment"),
    ("HASH_INSIDE", "abc#def"),
    ("HASH_SPACED", "abc #def"),
    ("ASSIGNMENT", "OTHER=value"),
    ("HEREDOC", "cat <<'EOF'\nOTHER=value\nEOF\n"),
];

const WINDOWS: &[(&str, &str)] = &[
    ("ProgramFiles", "C:\\Program Files\\Example\\"),
    ("UNC", "\\\\server\\share\\new\\table\\readme"),
    ("TEMPLATE", "%USERPROFILE%\\AppData"),
    ("CRLF_SCRIPT", "@echo off\r\nset A=1\r\n"),
    ("CARRIAGE", "\r"),
    ("QUOTED_PATH", "\"C:\\Program Files\\Example\\app.exe\" --flag"),
];

const LANGUAGES: &[(&str, &str)] = &[
    ("GREETING_DE", "Grüße aus München"),
    ("GREETING_JA", "こんにちは世界"),
    ("GREETING_AR", "مرحبا بالعالم"),
    ("EMOJI", "🔑🚀 launch 👩‍👩‍👧‍👦"),
    ("COMBINING", "e\u{301}galite\u{301}"),
    ("QUOTES", "„Zitat“ ‘quote’ «citation»"),
    ("NO_BREAK", "\u{a0}padded by no-break spaces\u{a0}"),
    ("LINE_SEPARATOR", "one\u{2028}TWO=2\u{2029}three"),
    ("MARK", "\u{feff}begins with a byte order mark"),
];

const EMPTY: &[(&str, &str)] = &[
    ("EMPTY", ""),
    ("SPACE", " "),
    ("TAB", "\t"),
    ("NEWLINE", "\n"),
    ("QUOTE", "\""),
    ("APOSTROPHE", "'"),
    ("BOTH", "\"'"),
    ("EMPTY_QUOTES", "\"\""),
    ("EQUALS", "="),
    ("BACKSLASH", "\\"),
    ("HASH", "#"),
    ("_", "a name that is only an underscore"),
    ("NULL", "null"),
    ("ZERO", "0"),
];

const PATTERNS: &[(&str, &str)] = &[
    ("EMAIL_PATTERN", "^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9-]+(?:\\.[a-z0-9-]+)*$"),
    ("CRON", "*/5 0-6,22-23 * * 1-5"),
    ("GLOB", "**/*.{js,ts}"),
    ("YAML", "key: value\nlist:\n  - \"a\"\n  - 'b' # comment\n"),
    ("TOML", "[section]\nkey = \"value\"\n"),
    ("HTML", "<a href=\"https://example.com?a=1&b=2\">it's here</a>"),
    ("SQL", "SELECT * FROM t WHERE a = 'it''s' -- comment"),
    ("CSS", "body { content: \"\\201C\"; } /* # */"),
    ("FORMAT", "%Y-%m-%d %H:%M:%S"),
    ("ESCAPES", "\\n\\t\\\\\\\"\\u0041"),
];

fn keys() -> Variables {
    let body =
        |lines: usize| "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n".repeat(lines);
    let block = |kind: &str, lines| format!("-----BEGIN {kind}-----\n{}-----END {kind}-----\n", body(lines));
    let private = block("RSA PRIVATE KEY", 26);
    [
        ("SSH_PRIVATE_KEY", block("OPENSSH PRIVATE KEY", 7)),
        ("JWT_PRIVATE_KEY_ONE_LINE", private.replace('\n', "\\n")),
        ("TLS_KEY_DOS", private.replace('\n', "\r\n")),
        ("TLS_KEY_BARE", private.trim_end().to_owned()),
        ("TLS_KEY", private),
        ("PGP", block("PGP MESSAGE", 10).replacen('\n', "\nVersion: 2.6.2\nComment: \"it's #1\"\n\n", 1)),
        ("KNOWN_HOSTS", "example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI== # main\n".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn certificates() -> Variables {
    let line = "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n";
    let one = format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", line.repeat(20));
    // As much as fits into 60 KB: a bundle of authorities.
    let bundle = one.repeat(60_000 / one.len());
    [
        ("CA_BUNDLE", bundle.clone()),
        ("CA_BUNDLE_ONE_LINE", bundle.replace('\n', "\\n")[..60_000].to_owned()),
        ("CA", one),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
