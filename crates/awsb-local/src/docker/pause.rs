//! The image of the container that holds the network of a task, as the pause container of ECS and
//! Kubernetes does. Its only file is a program that waits, so that nothing has to be pulled.

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;

use super::error::EngineError;
use awsb_docker::status;

/// The name of the image. The tag is that of its content.
pub const IMAGE: &str = "awsb-pause:1";
const NAME: &str = "awsb-pause";
const TAG: &str = "1";
/// The path of the program in the image.
const PROGRAM: &str = "pause";

/// Makes the image on an engine that does not have it.
///
/// # Errors
/// When the engine refuses, or has a kind of CPU for which there is no program.
pub async fn make_image(docker: &Docker) -> Result<(), EngineError> {
    match docker.inspect_image(IMAGE).await {
        Ok(_) => return Ok(()),
        Err(e) if status(&e) == Some(404) => {}
        Err(e) => return Err(e.into()),
    }
    let arch = docker.version().await?.arch.unwrap_or_default();
    let Some(machine) = Machine::of(&arch) else {
        return Err(EngineError::Architecture(arch));
    };
    let changes = format!("CMD [\"/{PROGRAM}\"]");
    let options =
        CreateImageOptionsBuilder::new().from_src("-").repo(NAME).tag(TAG).changes(vec![changes]).build();
    let body = bollard::body_full(Bytes::from(archive(machine)));
    let mut progress = std::pin::pin!(docker.create_image(Some(options), Some(body), None));
    while let Some(step) = progress.next().await {
        step?;
    }
    Ok(())
}

/// A kind of CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    X86,
    Arm,
}

impl Machine {
    /// By the name that the engine gives it.
    fn of(arch: &str) -> Option<Self> {
        match arch {
            "amd64" | "x86_64" => Some(Self::X86),
            "arm64" | "aarch64" => Some(Self::Arm),
            _ => None,
        }
    }

    /// `e_machine` of ELF.
    fn number(self) -> u16 {
        match self {
            Self::X86 => 62,
            Self::Arm => 183,
        }
    }

    /// A program that waits for signals in a loop.
    fn code(self) -> Vec<u8> {
        match self {
            // mov eax, 34 (pause); syscall; jmp to the begin
            Self::X86 => vec![0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7],
            // ppoll(NULL, 0, NULL, NULL, 0), as there is no pause: x0 to x4 = 0; x8 = 73; svc; b
            Self::Arm => [
                0xd280_0000_u32,
                0xd280_0001,
                0xd280_0002,
                0xd280_0003,
                0xd280_0004,
                0xd280_0928,
                0xd400_0001,
                0x17ff_fff9,
            ]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect(),
        }
    }
}

/// The program as a static ELF file (System V ABI, ELF-64): a header, one segment, and the code.
fn program(machine: Machine) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code = machine.code();
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // e_type ET_EXEC, e_machine, e_version
    file.extend(2_u16.to_le_bytes());
    file.extend(machine.number().to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    // e_entry, e_phoff, e_shoff, e_flags
    file.extend((BASE + HEADERS).to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    for size in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(size.to_le_bytes());
    }
    // p_type PT_LOAD, p_flags R+X, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    let length = HEADERS + code.len() as u64;
    for value in [0, BASE, BASE, length, length, 0x1_0000] {
        file.extend(value.to_le_bytes());
    }
    file.extend(code);
    file
}

/// The image's file system as a tar archive.
fn archive(machine: Machine) -> Vec<u8> {
    let program = program(machine);
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    // Writing to memory does not fail.
    let _ = archive.append_data(&mut header, PROGRAM, program.as_slice());
    archive.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_a_small_elf_file() {
        for machine in [Machine::X86, Machine::Arm] {
            let file = program(machine);
            assert_eq!(&file[..4], b"\x7fELF");
            assert_eq!(file.len(), 120 + machine.code().len());
        }
        assert_eq!(Machine::of("arm64"), Some(Machine::Arm));
        assert_eq!(Machine::of("riscv64"), None);
        assert!(archive(Machine::X86).len() >= 1024);
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_program_waits_until_it_is_killed() -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::ExitStatusExt;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(PROGRAM);
        std::fs::write(&path, program(Machine::X86))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        let mut child = loop {
            match std::process::Command::new(&path).spawn() {
                // Another thread was starting a child while this one wrote the program.
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                started => break started?,
            }
        };
        assert_eq!(child.try_wait()?, None);
        child.kill()?;
        assert_eq!(child.wait()?.signal(), Some(9));
        Ok(())
    }
}
