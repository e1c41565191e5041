# A Homebrew formula. It has not run anywhere yet: see packaging/README.md.
class Awsb < Formula
  desc "AWS Batch from the shell, with a local cluster that really runs the jobs"
  homepage "https://github.com/OWNER/awsb"
  url "https://github.com/OWNER/awsb/archive/refs/tags/v0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "rust" => :build

  TOOLS = %w[bsub bstat bout bkill bexec bwait bqueues bhosts bimage bcluster blocal].freeze
  COMMANDS = %w[doctor prune completions].freeze
  OLD_NAMES = %w[awsbsub awsbstat awsbout awsbkill awsbqueues awsbhosts].freeze

  def install
    system "cargo", "install", *std_cargo_args
    OLD_NAMES.each { |name| bin.install_symlink "awsb" => name }
    COMMANDS.each do |name|
      (man1/"awsb-#{name}.1").write Utils.safe_popen_read(bin/"awsb", name, "--man")
    end
    TOOLS.each do |tool|
      (man1/"#{tool}.1").write Utils.safe_popen_read(bin/tool, "--man")
      generate_completions_from_executable(bin/tool, "--completions", shells: [:bash, :zsh, :fish])
    end
  end

  test do
    assert_match "AWS Batch from the shell", shell_output(bin/"awsb")
    assert_match "hello", shell_output("#{bin}/bsub -I --wrap 'echo hello'")
  end
end
