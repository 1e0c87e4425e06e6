//! The engines that analysts use, reading what hdrcap wrote: DuckDB and PySpark, each in a Python of its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{output, run, tree};

/// A folder that hdrcap wrote, as DuckDB sees it.
#[derive(Clone, Copy, Debug)]
pub struct Dataset<'a>(pub &'a Path);

impl Dataset<'_> {
    /// Answers a query over the shipped views (`http`, `heads`, ...), one JSON object per row.
    ///
    /// # Panics
    /// Where DuckDB refuses the views, the query or a file.
    #[must_use]
    pub fn query(self, sql: &str) -> Vec<Value> {
        answers(Command::new(python()).arg(duckdb_script()).arg(sql).arg(self.0))
    }

    /// The files of table `http` as a table of SQL, as they are: no column from the folder names.
    #[must_use]
    pub fn files(self) -> String {
        format!("read_parquet('{}/http/**/*.parquet', hive_partitioning = false)", self.0.display())
    }

    /// Answers a query of one value.
    ///
    /// # Panics
    /// Where the answer has more or fewer than one row or column, or is no number.
    #[must_use]
    pub fn number(self, sql: &str) -> u64 {
        let rows = self.query(sql);
        let [Value::Object(row)] = rows.as_slice() else { panic!("not one row: {rows:?}") };
        assert_eq!(row.len(), 1, "not one column: {row:?}");
        row.values().next().and_then(Value::as_u64).unwrap_or_else(|| panic!("no number: {row:?}"))
    }
}

impl Dataset<'_> {
    /// The files of table `capture_stats` as a table of SQL, as they are.
    #[must_use]
    pub fn stats_files(self) -> String {
        format!("read_parquet('{}/capture_stats/**/*.parquet', hive_partitioning = false)", self.0.display())
    }

    /// Sum of each counter over all rows of `capture_stats`.
    #[must_use]
    pub fn stats_sums(self) -> BTreeMap<String, u64> {
        let files = self.stats_files();
        let counters = duckdb(&format!(
            "SELECT column_name FROM (DESCRIBE FROM {files}) WHERE column_type = 'BIGINT' AND column_name <> 'ts_ns'"
        ));
        let names = counters.iter().map(|row| row["column_name"].as_str().expect("a column has a name"));
        let sums: Vec<String> = names.map(|name| format!("sum({name})::BIGINT AS {name}")).collect();
        let mut answer = duckdb(&format!("SELECT {} FROM {files}", sums.join(", ")));
        serde_json::from_value(answer.swap_remove(0)).expect("sums are numbers")
    }
}

/// Rows of `left` that `right` lacks or has fewer of, in the columns that `columns` selects; at most ten.
#[must_use]
pub fn rows_missing(left: Dataset<'_>, right: Dataset<'_>, columns: &str) -> Vec<Value> {
    let (left, right) = (left.files(), right.files());
    duckdb(&format!("SELECT {columns} FROM {left} EXCEPT ALL SELECT {columns} FROM {right} LIMIT 10"))
}

/// Answers a query in DuckDB, one JSON object per row.
///
/// # Panics
/// Where DuckDB refuses it.
#[must_use]
pub fn duckdb(sql: &str) -> Vec<Value> {
    answers(Command::new(python()).arg(duckdb_script()).arg(sql))
}

/// Answers queries of PySpark in which `http` stands for the table of `folder`: per query its rows as JSON objects.
///
/// # Panics
/// Where Spark refuses a query or a file.
#[must_use]
pub fn spark<const N: usize>(folder: &Path, sql: [&str; N]) -> [Vec<Value>; N] {
    let script = tree::root().join("tests/harness/spark_query.py");
    let rows = answers(Command::new(python()).arg(script).arg(folder.join("http")).args(sql));
    let rows =
        rows.into_iter().map(|rows| serde_json::from_value(rows).expect("an answer is an array of rows"));
    rows.collect::<Vec<_>>().try_into().expect("every query is answered")
}

fn answers(command: &mut Command) -> Vec<Value> {
    let output = run(command);
    let text = String::from_utf8(output.stdout).expect("the answer is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("the answer is JSON lines")).collect()
}

fn duckdb_script() -> PathBuf {
    tree::root().join("tests/harness/duckdb_query.py")
}

/// The Python that `scripts/setup` made, or the one that `HDRCAP_PYTHON` names.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn python() -> PathBuf {
    let named = std::env::var_os("HDRCAP_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| tree::target().join("venv/bin/python"));
    assert!(
        python.is_file(),
        "no Python with DuckDB and PySpark at {}: run scripts/setup test",
        python.display()
    );
    python
}

/// What reads an encrypted dataset, each as the README shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// DuckDB by itself, with the shipped views.
    DuckDb,
    /// DuckDB over what pyarrow decrypts.
    PyArrow,
    /// PySpark with the class of `scripts/encryption`.
    Spark,
}

/// Answers queries over the table `http` of an encrypted dataset: per query its rows, or what the reader said.
///
/// # Errors
/// What the reader printed, where it refuses a query, a key or a file.
///
/// # Panics
/// Where the class for Spark cannot be compiled.
pub fn encrypted<const N: usize>(
    reader: Reader,
    (folder, keys): (&Path, &Path),
    sql: [&str; N],
) -> Result<[Vec<Value>; N], String> {
    let mut command = Command::new(python());
    command.arg(tree::root().join("tests/harness/encrypted_query.py"));
    let classes = tempfile::tempdir().expect("the temporary folder is writable");
    match reader {
        Reader::DuckDb => command.arg("duckdb"),
        Reader::PyArrow => command.arg("pyarrow"),
        Reader::Spark => {
            compile_keys(classes.path());
            command.env("CLASSPATH", classes.path()).arg("spark")
        }
    };
    let output = output(command.arg(folder).arg(keys).args(sql));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("the answer is UTF-8");
    let rows = text.lines().map(|line| serde_json::from_str(line).expect("an answer is an array of rows"));
    Ok(rows.collect::<Vec<Vec<Value>>>().try_into().expect("every query is answered"))
}

/// Compiles what gives Spark the keys, against the libraries that PySpark brings.
fn compile_keys(classes: &Path) {
    let find = "import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent / 'jars')";
    let jars = run(Command::new(python()).arg("-c").arg(find));
    let jars = String::from_utf8(jars.stdout).expect("a path in UTF-8");
    let source = tree::root().join("scripts/encryption/HdrcapKeys.java");
    let mut javac = Command::new("javac");
    javac.arg("-d").arg(classes).arg("-cp").arg(format!("{}/*", jars.trim())).arg(source);
    run(&mut javac);
}
