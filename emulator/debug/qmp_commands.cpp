#include "emulator/debug/qmp_commands.hpp"

#include <algorithm>

namespace emu::debug {

QmpError generic_error(std::string description)
{
    return {"GenericError", std::move(description)};
}

namespace {

using Type = QmpType;
constexpr QmpArgument kNone{"", Type::text, true};

QmpResult from_status(const base::Status& status)
{
    return status ? QmpResult{} : QmpResult{generic_error(status.error().message)};
}

std::string text_or(const Json& arguments, const char* name, const std::string& fallback)
{
    return arguments.value(name, fallback);
}

QmpResult query_version(QmpContext&, const Json&)
{
    return Json{{"qemu", {{"micro", 0}, {"minor", 2}, {"major", 7}}},
                {"package", "Menagerie 0.1.0"}};
}

QmpResult query_status(QmpContext& context, const Json&)
{
    const RunState state = context.target.machine->state();
    return Json{{"running", state == RunState::running},
                {"singlestep", false},
                {"status", to_string(state)}};
}

QmpResult query_name(QmpContext& context, const Json&)
{
    const std::string& name = context.target.name;
    return name.empty() ? Json::object() : Json{{"name", name}};
}

QmpResult query_kvm(QmpContext&, const Json&)
{
    return Json{{"enabled", false}, {"present", false}};
}

QmpResult query_replay(QmpContext& context, const Json&)
{
    InputDoor& door = context.target.machine->door();
    const char* mode = door.replaying() ? "play" : door.recording() ? "record" : "none";
    return Json{{"mode", mode}, {"icount", context.target.machine->clock().instructions_now()}};
}

QmpResult query_cpus(QmpContext&, const Json&)
{
    return Json::array({{{"cpu-index", 0},
                         {"qom-path", "/machine/unattached/device[0]"},
                         {"target", "i386"},
                         {"props", {{"core-id", 0}, {"thread-id", 0}, {"socket-id", 0}}}}});
}

QmpResult query_commands(QmpContext&, const Json&)
{
    Json list = Json::array({{{"name", "qmp_capabilities"}}});
    for (const QmpCommand& command : qmp_commands()) {
        list.push_back({{"name", command.name}});
    }
    return list;
}

QmpResult query_chardev(QmpContext& context, const Json&)
{
    Json list = Json::array();
    if (context.target.chars) {
        for (const CharSlot& slot : context.target.chars()) {
            list.push_back(
                {{"label", slot.label}, {"filename", slot.description}, {"frontend-open", true}});
        }
    }
    return list;
}

Json inserted_json(const BlockSlot& slot)
{
    return {
        {"file", slot.file},
        {"drv", slot.format},
        {"node-name", slot.id},
        {"ro", slot.read_only},
        {"encrypted", false},
        {"detect_zeroes", "off"},
        {"backing_file_depth", 0},
        {"iops", 0},
        {"iops_rd", 0},
        {"iops_wr", 0},
        {"bps", 0},
        {"bps_rd", 0},
        {"bps_wr", 0},
        {"write_threshold", 0},
        {"cache", {{"writeback", true}, {"direct", false}, {"no-flush", false}}},
        {"image", {{"filename", slot.file}, {"format", slot.format}, {"virtual-size", slot.size}}}};
}

QmpResult query_block(QmpContext& context, const Json&)
{
    Json list = Json::array();
    for (const BlockSlot* slot : context.target.blocks) {
        Json entry{{"device", slot->id},
                   {"qdev", "/machine/unattached/" + slot->id},
                   {"type", "unknown"},
                   {"removable", slot->removable},
                   {"locked", slot->locked && slot->locked()}};
        if (slot->removable) {
            entry["tray_open"] = slot->has_open_tray();
        }
        if (!slot->empty()) {
            entry["inserted"] = inserted_json(*slot);
        }
        list.push_back(std::move(entry));
    }
    return list;
}

QmpResult stop(QmpContext& context, const Json&)
{
    context.target.machine->pause();
    return {};
}

QmpResult cont(QmpContext& context, const Json&)
{
    if (context.target.machine->state() == RunState::shutdown) {
        return generic_error("Resetting the Virtual Machine is required");
    }
    context.target.machine->resume();
    return {};
}

QmpResult quit(QmpContext& context, const Json&)
{
    context.target.machine->quit();
    return {};
}

QmpResult system_reset(QmpContext& context, const Json&)
{
    context.target.machine->host_reset();
    return {};
}

QmpResult system_powerdown(QmpContext& context, const Json&)
{
    context.target.machine->press_power();
    return {};
}

QmpResult do_inject_nmi(QmpContext& context, const Json&)
{
    return from_status(inject_nmi(context.target));
}

QmpResult do_screendump(QmpContext& context, const Json& arguments)
{
    const std::string format = text_or(arguments, "format", "ppm");
    if (format != "ppm" && format != "png") {
        return generic_error("Invalid parameter '" + format + "'");
    }
    return from_status(screendump(context.target, arguments["filename"],
                                  format == "png" ? PictureFormat::png : PictureFormat::ppm));
}

std::optional<hostio::KeyCode> key_value(const Json& value, std::string& problem)
{
    if (!value.is_object() || !value.contains("type") || !value.contains("data")) {
        problem = "Parameter 'type' is missing";
        return std::nullopt;
    }
    const Json& data = value["data"];
    if (value["type"] == "qcode" && data.is_string()) {
        const auto key = hostio::find_key(data.get<std::string>());
        if (!key) {
            problem = "Invalid parameter '" + data.get<std::string>() + "'";
        }
        return key;
    }
    if (value["type"] == "number" && data.is_number_integer()) {
        const auto code = data.get<base::i64>();
        if (code > 0 && code <= 0xff &&
            devices::find_key(static_cast<hostio::KeyCode>(code)) != nullptr) {
            return static_cast<hostio::KeyCode>(code);
        }
    }
    problem = "Invalid key value";
    return std::nullopt;
}

QmpResult send_key(QmpContext& context, const Json& arguments)
{
    std::vector<hostio::KeyCode> keys;
    std::string problem;
    for (const Json& value : arguments["keys"]) {
        const auto key = key_value(value, problem);
        if (!key) {
            return generic_error(problem);
        }
        keys.push_back(*key);
    }
    constexpr std::size_t kMaxChord = 16;
    const base::i64 hold = arguments.value("hold-time", base::i64{100});
    if (keys.empty() || keys.size() > kMaxChord || hold < 0 || hold > 100'000) {
        return generic_error("send-key takes 1 to 16 keys and a hold-time up to 100000 ms");
    }
    context.monitor.keys().send(std::move(keys), static_cast<u64>(hold));
    return {};
}

/// The events of one call, gathered before anything is sent: all or nothing.
struct InputBatch {
    std::vector<std::pair<hostio::KeyCode, bool>> keys;
    int dx = 0;
    int dy = 0;
    int wheel = 0;
    bool mouse = false;
    std::vector<std::pair<u8, bool>> buttons;
};

std::optional<QmpError> add_button(InputBatch& batch, const Json& data)
{
    const std::string button = data.contains("button") && data["button"].is_string()
                                   ? data["button"].get<std::string>()
                                   : std::string{};
    const bool down =
        data.contains("down") && data["down"].is_boolean() && data["down"].get<bool>();
    if (button == "wheel-up" || button == "wheel-down") {
        batch.wheel += down ? (button == "wheel-up" ? 1 : -1) : 0;
        batch.mouse = true;
        return std::nullopt;
    }
    constexpr std::array<std::pair<std::string_view, hostio::MouseButton>, 3> kButtons{
        {{"left", hostio::MouseButton::left},
         {"right", hostio::MouseButton::right},
         {"middle", hostio::MouseButton::middle}}};
    for (const auto& [name, mask] : kButtons) {
        if (name == button) {
            batch.buttons.emplace_back(static_cast<u8>(mask), down);
            batch.mouse = true;
            return std::nullopt;
        }
    }
    return generic_error("Invalid parameter '" + button + "'");
}

std::optional<QmpError> add_input_event(InputBatch& batch, const Json& event)
{
    if (!event.is_object() || !event.contains("type") || !event.contains("data") ||
        !event["data"].is_object() || !event["type"].is_string()) {
        return generic_error("Parameter 'type' is missing");
    }
    const Json& data = event["data"];
    const std::string type = event["type"];
    if (type == "key") {
        std::string problem = "Parameter 'key' is missing";
        const auto key = data.contains("key") ? key_value(data["key"], problem) : std::nullopt;
        if (!key) {
            return generic_error(problem);
        }
        batch.keys.emplace_back(*key, data.contains("down") && data["down"] == true);
        return std::nullopt;
    }
    if (type == "btn") {
        return add_button(batch, data);
    }
    if (type == "rel" && data.contains("axis") && data.contains("value") &&
        data["value"].is_number_integer()) {
        const auto value = std::clamp<base::i64>(data["value"].get<base::i64>(), -32768, 32767);
        (data["axis"] == "x" ? batch.dx : batch.dy) += static_cast<int>(value);
        batch.mouse = true;
        return std::nullopt;
    }
    if (type == "abs") {
        return generic_error("Input event type 'abs': the machine has no absolute pointing device");
    }
    return generic_error("Invalid parameter '" + type + "'");
}

QmpResult input_send_event(QmpContext& context, const Json& arguments)
{
    InputBatch batch;
    for (const Json& event : arguments["events"]) {
        if (const auto bad = add_input_event(batch, event)) {
            return *bad;
        }
    }
    for (const auto& [key, down] : batch.keys) {
        context.target.input->key(key, down);
    }
    if (batch.mouse) {
        u8& buttons = context.monitor.buttons();
        for (const auto& [mask, down] : batch.buttons) {
            buttons = static_cast<u8>(down ? buttons | mask : buttons & ~mask);
        }
        context.target.input->mouse(std::clamp(batch.dx, -32768, 32767),
                                    std::clamp(batch.dy, -32768, 32767), batch.wheel, buttons);
    }
    return {};
}

QmpResult human_monitor_command(QmpContext& context, const Json& arguments)
{
    std::string text = context.monitor.execute(arguments["command-line"].get<std::string>());
    std::string out;
    for (const char c : text) {
        out += c == '\n' ? "\r\n" : std::string(1, c);
    }
    return Json(out);
}

/// The slot that "device" or "id" names, or why there is none.
BlockSlot* find_slot(QmpContext& context, const Json& arguments, std::optional<QmpError>& error)
{
    const std::string id = text_or(arguments, "id", text_or(arguments, "device", ""));
    BlockSlot* slot = context.target.find_block(id);
    if (slot == nullptr) {
        error = QmpError{"DeviceNotFound", "Device '" + id + "' not found"};
    } else if (!slot->removable) {
        error = generic_error("Device '" + id + "' is not removable");
    }
    return slot;
}

QmpResult eject(QmpContext& context, const Json& arguments)
{
    std::optional<QmpError> error;
    const BlockSlot* slot = find_slot(context, arguments, error);
    return error ? QmpResult{*error} : from_status(slot->eject(arguments.value("force", false)));
}

QmpResult change_medium(QmpContext& context, const Json& arguments)
{
    std::optional<QmpError> error;
    const BlockSlot* slot = find_slot(context, arguments, error);
    if (error) {
        return *error;
    }
    const std::string mode = text_or(arguments, "read-only-mode", "retain");
    if (mode != "retain" && mode != "read-only" && mode != "read-write") {
        return generic_error("Invalid parameter '" + mode + "'");
    }
    const bool read_only = mode == "retain" ? slot->read_only : mode == "read-only";
    return from_status(
        slot->change(arguments["filename"], text_or(arguments, "format", ""), read_only));
}

QmpResult save(QmpContext& context, const Json& arguments, Addressing addressing)
{
    const auto size = arguments["size"].get<base::i64>();
    if (size < 0) {
        return generic_error("Parameter 'size' expects a size");
    }
    return from_status(save_memory(context.target, arguments["val"].get<u64>(),
                                   static_cast<u64>(size), arguments["filename"], addressing));
}

QmpResult pmemsave(QmpContext& context, const Json& arguments)
{
    return save(context, arguments, Addressing::physical);
}

QmpResult memsave(QmpContext& context, const Json& arguments)
{
    return save(context, arguments, Addressing::linear);
}

QmpResult device_add(QmpContext&, const Json& arguments)
{
    return generic_error("'" + arguments["driver"].get<std::string>() +
                         "' is not a device model that can be added while the machine runs");
}

bool has_type(const Json& value, Type type)
{
    switch (type) {
    case Type::text:
        return value.is_string();
    case Type::integer:
        return value.is_number_integer();
    case Type::boolean:
        return value.is_boolean();
    case Type::list:
        return value.is_array();
    case Type::object:
        return value.is_object();
    }
    return false;
}

std::string_view type_name(Type type)
{
    constexpr std::string_view kNames[] = {"string", "integer", "boolean", "array", "object"};
    return kNames[static_cast<std::size_t>(type)];
}

std::optional<QmpError> check_arguments(const QmpCommand& command, const Json& arguments)
{
    for (const QmpArgument& expected : command.arguments) {
        if (expected.name.empty()) {
            break;
        }
        const std::string name{expected.name};
        if (!arguments.contains(name)) {
            if (!expected.optional) {
                return generic_error("Parameter '" + name + "' is missing");
            }
        } else if (!has_type(arguments[name], expected.type)) {
            return generic_error("Invalid parameter type for '" + name +
                                 "', expected: " + std::string{type_name(expected.type)});
        }
    }
    for (const auto& [name, value] : arguments.items()) {
        const bool known = std::any_of(
            command.arguments.begin(), command.arguments.end(),
            [&key = name](const QmpArgument& a) { return !a.name.empty() && a.name == key; });
        if (!known && command.name != "device_add") {
            return generic_error("Parameter '" + name + "' is unexpected");
        }
    }
    return std::nullopt;
}

constexpr QmpArgument required(std::string_view name, Type type)
{
    return {name, type, false};
}

constexpr QmpArgument optional(std::string_view name, Type type)
{
    return {name, type, true};
}

} // namespace

std::span<const QmpCommand> qmp_commands()
{
    static constexpr std::array<QmpArgument, 5> kNoArguments{kNone, kNone, kNone, kNone, kNone};
    static constexpr std::array<QmpArgument, 5> kSave{
        required("val", Type::integer), required("size", Type::integer),
        required("filename", Type::text), optional("cpu-index", Type::integer), kNone};
    static constexpr QmpCommand kCommands[] = {
        {"query-version", kNoArguments, query_version},
        {"query-status", kNoArguments, query_status},
        {"query-name", kNoArguments, query_name},
        {"query-kvm", kNoArguments, query_kvm},
        {"query-replay", kNoArguments, query_replay},
        {"query-cpus-fast", kNoArguments, query_cpus},
        {"query-commands", kNoArguments, query_commands},
        {"query-chardev", kNoArguments, query_chardev},
        {"query-block", kNoArguments, query_block},
        {"stop", kNoArguments, stop},
        {"cont", kNoArguments, cont},
        {"quit", kNoArguments, quit},
        {"system_reset", kNoArguments, system_reset},
        {"system_powerdown", kNoArguments, system_powerdown},
        {"inject-nmi", kNoArguments, do_inject_nmi},
        {"screendump",
         {required("filename", Type::text), optional("device", Type::text),
          optional("head", Type::integer), optional("format", Type::text), kNone},
         do_screendump},
        {"send-key",
         {required("keys", Type::list), optional("hold-time", Type::integer), kNone, kNone, kNone},
         send_key},
        {"input-send-event",
         {required("events", Type::list), optional("device", Type::text),
          optional("head", Type::integer), kNone, kNone},
         input_send_event},
        {"human-monitor-command",
         {required("command-line", Type::text), optional("cpu-index", Type::integer), kNone, kNone,
          kNone},
         human_monitor_command},
        {"eject",
         {optional("device", Type::text), optional("id", Type::text),
          optional("force", Type::boolean), kNone, kNone},
         eject},
        {"blockdev-change-medium",
         {optional("device", Type::text), optional("id", Type::text),
          required("filename", Type::text), optional("format", Type::text),
          optional("read-only-mode", Type::text)},
         change_medium},
        {"pmemsave", kSave, pmemsave},
        {"memsave", kSave, memsave},
        {"device_add", {required("driver", Type::text), kNone, kNone, kNone, kNone}, device_add},
    };
    return kCommands;
}

QmpResult run_qmp_command(QmpContext& context, const std::string& name, const Json& arguments)
{
    for (const QmpCommand& command : qmp_commands()) {
        if (command.name == name) {
            if (auto bad = check_arguments(command, arguments)) {
                return std::move(*bad);
            }
            return command.run(context, arguments);
        }
    }
    return QmpError{"CommandNotFound", "The command " + name + " has not been found"};
}

} // namespace emu::debug
