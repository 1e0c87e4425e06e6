//! Published files to an object store (`--upload`): each once, and again what compaction made of them.
//!
//! A thread with a runtime of its own looks at the manifest, sends what is not there yet, and remembers it. What cannot be
//! sent stays and is tried again, later each time; the capture never waits for it. Credentials come from the variables
//! that every tool for S3 reads, and are in no setting, no log line and no error.

mod client;
mod trouble;

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use object_store::{
    ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path as ObjectPath,
};
use storage::upload::{Step, Uploads};
use tokio::{sync::oneshot, time::timeout};
use tracing::{error, info, warn};

use self::trouble::explained;

use crate::{
    ledger::{EncoderCounter, EncoderLedger},
    settings::UploadSettings,
};

/// Between two looks at the manifest.
const LOOK: Duration = Duration::from_secs(2);

/// Looks left out at the most after attempts that failed: five minutes.
const LOOKS_LEFT_OUT_MAX: u32 = 150;

/// What is sent at a time of a large file, and held in memory; files below go in one piece.
const PART_BYTES: usize = 8 << 20;

/// Within one attempt; later ones are this module's own, further and further apart.
const REQUEST_RETRIES_MAX: usize = 2;
const RETRY_TIME_MAX: Duration = Duration::from_secs(20);

/// Name files that are read again and again for credentials that end; each is put there anew, so its folder is read.
const TOKEN_FILES: [&str; 2] = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];

/// Time to send what was published last, when the capture has ended; the rest is the next start's.
const LAST_TIME_MAX: Duration = Duration::from_secs(60);

/// Where files go and which are there.
pub struct Uploader {
    dir: PathBuf,
    prefix: String,
    place: String,
    store: AmazonS3,
    uploads: Arc<Uploads>,
}

impl Uploader {
    /// Finds credentials and certificates, while there is the right to read them; nothing is sent yet.
    pub fn new(settings: &UploadSettings, dir: &Path, sensor: &str) -> anyhow::Result<Uploader> {
        let place = settings.target.to_string();
        let is_plain = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&settings.target.bucket)
            .with_retry(RetryConfig {
                max_retries: REQUEST_RETRIES_MAX,
                retry_timeout: RETRY_TIME_MAX,
                ..RetryConfig::default()
            })
            .with_http_connector(client::Connector { is_plain });
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
        }
        let store = builder.build().with_context(|| format!("{place} cannot be reached as told"))?;
        let uploads =
            Uploads::open(dir, sensor, &place).context("the list of uploaded files cannot be read")?;
        let prefix = settings.target.prefix.clone();
        Ok(Uploader { dir: dir.to_owned(), prefix, place, store, uploads: Arc::new(uploads) })
    }

    /// What is at the other place.
    pub fn uploads(&self) -> Arc<Uploads> {
        Arc::clone(&self.uploads)
    }

    /// Folders with files that are read later.
    pub fn reads() -> Vec<PathBuf> {
        let files = TOKEN_FILES.into_iter().filter_map(env::var_os).map(PathBuf::from);
        files.filter_map(|file| file.parent().map(Path::to_owned)).collect()
    }

    /// Makes every step that is due, up to the first that does not work.
    async fn pass(&self, counts: &EncoderLedger) -> anyhow::Result<()> {
        for step in self.uploads.due().context("the manifest cannot be read")? {
            match &step {
                Step::Send(file) => {
                    let Some(bytes) =
                        self.send(file).await.with_context(|| format!("{file} was not sent"))?
                    else {
                        continue;
                    };
                    counts.add(EncoderCounter::UploadFiles, 1);
                    counts.add(EncoderCounter::UploadBytes, bytes);
                    info!(%file, bytes, to = %self.place, "uploaded");
                }
                Step::Withdraw(file) => {
                    match self.store.delete(&self.object(file)).await {
                        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => {
                            return Err(explained(&error).context(format!("{file} was not withdrawn")));
                        }
                    }
                    counts.add(EncoderCounter::UploadWithdrawn, 1);
                }
            }
            self.uploads.done(step).context("what was uploaded cannot be remembered")?;
            self.note_backlog(counts);
        }
        Ok(())
    }

    /// Notes how much waits. Where the manifest cannot be read, the pass says so.
    fn note_backlog(&self, counts: &EncoderLedger) {
        if let Ok(backlog) = self.uploads.backlog() {
            counts.upload_files_waiting.note(backlog.files);
            counts.upload_bytes_waiting.note(backlog.bytes);
        }
    }

    /// Sends one file; `None` where it went since.
    async fn send(&self, name: &str) -> anyhow::Result<Option<u64>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        let mut file = match options.open(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let object = self.object(name);
        let first = part(&mut file)?;
        if first.len() < PART_BYTES {
            let bytes = first.len() as u64;
            self.store.put(&object, PutPayload::from(first)).await.map_err(|error| explained(&error))?;
            return Ok(Some(bytes));
        }
        let mut upload = self.store.put_multipart(&object).await.map_err(|error| explained(&error))?;
        let mut next = first;
        let mut bytes = 0;
        let sent: anyhow::Result<()> = async {
            while !next.is_empty() {
                bytes += next.len() as u64;
                let part_sent = upload.put_part(PutPayload::from(std::mem::take(&mut next))).await;
                part_sent.map_err(|error| explained(&error))?;
                next = part(&mut file)?;
            }
            Ok(())
        }
        .await;
        if let Err(error) = sent {
            if let Err(kept) = upload.abort().await {
                warn!("parts of {name} may stay at {}: {kept}", self.place);
            }
            return Err(error);
        }
        upload.complete().await.map_err(|error| explained(&error))?;
        Ok(Some(bytes))
    }

    fn object(&self, name: &str) -> ObjectPath {
        ObjectPath::from(format!("{}/{name}", self.prefix))
    }
}

fn part(file: &mut File) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part)
}

/// Upload at work.
pub struct Uploading {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Uploading {
    /// Starts the thread.
    pub fn start(uploader: Uploader, counts: Arc<EncoderLedger>) -> io::Result<Uploading> {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("hdrcap-upload".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(run(&uploader, &counts, stopped)),
                Err(error) => error!("nothing is uploaded: {error}"),
            }
        })?;
        Ok(Uploading { stop, thread })
    }

    /// Sends what was published since, as far as that is done soon; nothing is published any more.
    pub fn finish(self) {
        // The thread is gone where it had nothing to run on.
        self.stop.send(()).unwrap_or_default();
        self.thread.join().expect("the upload does not panic");
    }
}

async fn run(uploader: &Uploader, counts: &EncoderLedger, mut stopped: oneshot::Receiver<()>) {
    let mut patience = Patience::default();
    loop {
        let look = patience.look(uploader, counts);
        tokio::pin!(look);
        let is_under_way = tokio::select! {
            biased;
            () = &mut look => false,
            _ = &mut stopped => true,
        };
        if !is_under_way && timeout(LOOK, &mut stopped).await.is_err() {
            continue;
        }
        let last = async {
            // What is on its way is not broken off: parts of it would stay there.
            if is_under_way {
                look.await;
            }
            uploader.pass(counts).await
        };
        return last_words(uploader, counts, timeout(LAST_TIME_MAX, last).await);
    }
}

/// When to try again, and what was said of the last attempt.
#[derive(Debug, Default)]
struct Patience {
    /// Looks to leave out until the next attempt, and after the last one.
    looks_left: u32,
    looks_left_out: u32,
    told: String,
}

impl Patience {
    /// One look: at what waits, and where it is time, an attempt to send it.
    async fn look(&mut self, uploader: &Uploader, counts: &EncoderLedger) {
        uploader.note_backlog(counts);
        if self.looks_left > 0 {
            self.looks_left -= 1;
            return;
        }
        match uploader.pass(counts).await {
            Ok(()) => {
                if !self.told.is_empty() {
                    info!("upload to {} goes on", uploader.place);
                }
                *self = Patience::default();
            }
            Err(error) => self.lengthen(uploader, counts, format!("{error:#}")),
        }
    }

    fn lengthen(&mut self, uploader: &Uploader, counts: &EncoderLedger, why: String) {
        counts.add(EncoderCounter::UploadFailed, 1);
        self.looks_left_out = (self.looks_left_out * 2 + 1).min(LOOKS_LEFT_OUT_MAX);
        self.looks_left = self.looks_left_out;
        // The same again is told every five minutes.
        if why != self.told || self.looks_left_out == LOOKS_LEFT_OUT_MAX {
            warn!("upload to {}: {why}; tried again from time to time", uploader.place);
            self.told = why;
        }
    }
}

/// Says what is left for the next start.
fn last_words(
    uploader: &Uploader,
    counts: &EncoderLedger,
    ended: Result<anyhow::Result<()>, tokio::time::error::Elapsed>,
) {
    uploader.note_backlog(counts);
    let why = match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => {
            counts.add(EncoderCounter::UploadFailed, 1);
            format!("{error:#}")
        }
        Err(_) => "it takes too long".to_owned(),
    };
    let (files, bytes) = (counts.upload_files_waiting.now(), counts.upload_bytes_waiting.now());
    warn!("{files} files, {bytes} bytes, are not at {} yet: {why}; the next start goes on", uploader.place);
}
