#include "emulator/script/report.hpp"

#include "emulator/hostio/picture.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace emu::script {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kResults[] = {"not run", "passed", "failed"};

double seconds(u64 ns)
{
    return static_cast<double>(ns) / 1e9;
}

std::string dump(const Json& json)
{
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json step_json(const Engine& engine, std::size_t index)
{
    const Step& step = engine.script().steps[index];
    const StepRecord& record = engine.records()[index];
    Json json;
    json["number"] = index + 1;
    json["action"] = name_of(step.action);
    json["value"] = Json::parse(step.value_json, nullptr, false);
    json["result"] = kResults[static_cast<std::size_t>(record.result)];
    if (record.result != StepResult::not_run) {
        json["began_guest_s"] = seconds(record.began_ns);
        json["ended_guest_s"] = seconds(record.ended_ns);
    }
    if (!record.picture.empty()) {
        json["picture"] = step.text + ".png";
    }
    return json;
}

std::string report_json(const Engine& engine, const RunFacts& facts)
{
    Json json;
    json["schema"] = 1;
    json["result"] = engine.passed() ? "passed" : "failed";
    if (!engine.passed()) {
        json["reason"] = engine.reason();
    }
    json["guest_s"] = seconds(facts.guest_ns);
    json["instructions"] = facts.instructions;
    json["host_s"] = facts.host_s;
    json["steps"] = Json::array();
    for (std::size_t i = 0; i < engine.records().size(); ++i) {
        json["steps"].push_back(step_json(engine, i));
    }
    return dump(json);
}

std::string escaped(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        switch (c) {
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '&':
            out += "&amp;";
            break;
        case '"':
            out += "&quot;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

std::string step_html(const Engine& engine, std::size_t index)
{
    const Step& step = engine.script().steps[index];
    const StepRecord& record = engine.records()[index];
    const std::string_view result = kResults[static_cast<std::size_t>(record.result)];
    const bool ran = record.result != StepResult::not_run;
    std::string row = fmt::format(
        "<tr class=\"{}\"><td>{}</td><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td>",
        record.result == StepResult::failed ? "failed" : "", index + 1, name_of(step.action),
        escaped(step.value_json), result,
        ran ? fmt::format("{:.2f}–{:.2f}", seconds(record.began_ns), seconds(record.ended_ns))
            : "");
    row += "</tr>\n";
    if (!record.picture.empty()) {
        row += fmt::format(
            "<tr><td></td><td colspan=\"4\"><img src=\"{0}.png\" alt=\"{0}\"></td></tr>\n",
            step.text);
    }
    return row;
}

std::string report_html(const Engine& engine, const RunFacts& facts)
{
    std::string html = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}: {1}</title>\n"
        "<style>body{{font-family:sans-serif;margin:2em}}td{{padding:.2em .6em;vertical-align:top}}"
        "img{{max-width:100%;border:1px solid #888}}.failed{{background:#fcc}}"
        "pre{{background:#eee;padding:1em}}</style></head><body>\n<h1>{0}: {1}</h1>\n",
        escaped(facts.title), engine.passed() ? "passed" : "failed");
    if (!engine.passed()) {
        html += "<p class=\"failed\">" + escaped(engine.reason()) + "</p>\n";
    }
    html += fmt::format("<p>{:.3f} s of guest time, {} instructions, {:.1f} s of host time.</p>\n",
                        seconds(facts.guest_ns), facts.instructions, facts.host_s);
    html +=
        "<table><tr><th>#</th><th>step</th><th>value</th><th>result</th><th>guest s</th></tr>\n";
    for (std::size_t i = 0; i < engine.records().size(); ++i) {
        html += step_html(engine, i);
    }
    html +=
        "</table>\n<h2>The end</h2>\n<p><img src=\"end.png\" alt=\"the screen at the end\"></p>\n";
    if (engine.in_text_mode()) {
        html += "<pre>" + escaped(engine.screen_text()) + "</pre>\n";
    }
    return html + "</body></html>\n";
}

/// Writes files into one folder and keeps the first error.
class Folder {
public:
    explicit Folder(std::string path) : path_{std::move(path)} {}
    void write(const std::string& name, std::span<const u8> bytes)
    {
        if (status_) {
            status_ = hostio::write_file(path_ + "/" + name, bytes);
        }
    }
    void write(const std::string& name, std::string_view text)
    {
        write(name, std::span{reinterpret_cast<const u8*>(text.data()), text.size()});
    }
    base::Status status() && { return std::move(status_); }

private:
    std::string path_;
    base::Status status_ = base::ok();
};

} // namespace

base::Status prepare_report(const std::string& folder)
{
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error || !std::filesystem::is_directory(folder, error)) {
        return base::fail(base::Errc::io, "cannot make the folder " + folder);
    }
    return base::ok();
}

base::Status write_report(const std::string& path, const Engine& engine, const RunFacts& facts,
                          const std::vector<SerialRecord*>& serial)
{
    Folder folder{path};
    for (std::size_t i = 0; i < engine.records().size(); ++i) {
        const StepRecord& record = engine.records()[i];
        const std::string& name = engine.script().steps[i].text;
        if (!record.picture.empty()) {
            folder.write(name + ".png", record.picture);
        }
        if (!record.picture_text.empty()) {
            folder.write(name + ".txt", record.picture_text + "\n");
        }
    }
    folder.write("end.png", hostio::encode_png(engine.picture()));
    if (engine.in_text_mode()) {
        folder.write("end.txt", engine.screen_text() + "\n");
    }
    for (std::size_t port = 0; port < serial.size(); ++port) {
        if (serial[port] != nullptr && !serial[port]->raw().empty()) {
            folder.write(fmt::format("serial{}.log", port), serial[port]->raw());
        }
    }
    folder.write("report.json", report_json(engine, facts));
    folder.write("report.html", report_html(engine, facts));
    return std::move(folder).status();
}

} // namespace emu::script
